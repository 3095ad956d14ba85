#!/usr/bin/env python3
"""A task that is inside a changing function holds the transition, is named, and ends it by returning."""
import time

from harness import BUILD, NOTHING_TO_DO, REFUSED, TIMED_OUT, Guest, Tests, check

PATCH = str(BUILD / "demo/patches/fix_total.klp")

tests = Tests()
# The desk takes six seconds for an invoice.
guest = Guest("demo.elf", "--smp", "2", append="pace=1000")


def begin(*options):
    """Starts a load right after the desk has begun an invoice."""
    guest.skip_console()
    guest.expect(r"desk: invoice \d+")
    guest.graft("load", PATCH, "--no-wait", *options)


@tests.add("blocking names the task, the function and where it is")
def _():
    begin()
    check(guest.patches() == {"fix-total": "loading"}, str(guest.patches()))
    holders = guest.graft("blocking", "--json").json()
    check([holder["name"] for holder in holders] == ["desk"], str(holders))
    check("invoice_total" in str(holders[0]), str(holders))


@tests.add("its stack is there to read")
def _():
    desk = next(task["task"] for task in guest.graft("tasks", "--json").json() if task["name"] == "desk")
    stack = guest.graft("cat", f"/tasks/{desk}/stack").output
    check("invoice_total" in stack and "run_till" in stack, stack)


@tests.add("wait gives up at its time limit, and the transition goes on")
def _():
    guest.graft("wait", "--timeout", "200ms", code=TIMED_OUT)
    check(guest.patches() == {"fix-total": "loading"}, str(guest.patches()))


@tests.add("reverse ends it at once, as if nothing had been")
def _():
    start = time.monotonic()
    guest.graft("reverse", "fix-total")
    check(time.monotonic() - start < 4, "the reverse waited for the desk")
    check(guest.patches() == {}, str(guest.patches()))


@tests.add("reverse without a transition is nothing to do")
def _():
    guest.graft("reverse", "fix-total", code=NOTHING_TO_DO)


@tests.add("the load ends when the desk returns, moved by its hook")
def _():
    begin()
    output = guest.graft("wait", "fix-total").output
    check("loaded in" in output and "hook" in output, output)
    check(guest.patches() == {"fix-total": "enabled"}, str(guest.patches()))


@tests.add("an unload can be reversed")
def _():
    guest.skip_console()
    guest.expect(r"desk: invoice \d+")
    guest.graft("unload", "fix-total", "--no-wait")
    check(guest.patches() == {"fix-total": "unloading"}, str(guest.patches()))
    guest.graft("load", PATCH, "--name", "second", code=REFUSED)
    guest.graft("reverse", "fix-total")
    check(guest.patches() == {"fix-total": "enabled"}, str(guest.patches()))


@tests.add("an unload of a load that is under way turns it round")
def _():
    guest.graft("unload", "fix-total")
    begin()
    guest.graft("unload", "fix-total")
    check(guest.patches() == {}, str(guest.patches()))


with guest:
    tests.run()
