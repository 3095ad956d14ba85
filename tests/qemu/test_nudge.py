#!/usr/bin/env python3
"""A nudge makes a task return from an interruptible wait inside a changing function, and no other task."""
import re

from harness import BUILD, NOTHING_TO_DO, REFUSED, TIMED_OUT, Guest, Tests, check

PATCH = str(BUILD / "test-nudge/patches/errand.klp")
HOLDERS = {"willing", "deaf", "busy"}

tests = Tests()
# `willing` waits interruptibly, `deaf` doesn't, `busy` runs; the latter two go when `willing` is interrupted.
guest = Guest("test-nudge.elf", "--smp", "2")


def holders():
    """The tasks that hold the transition, as {name: id}."""
    return {holder["name"]: str(holder["task"]) for holder in guest.graft("blocking", "--json").json()}


def task_id(name):
    return next(str(task["task"]) for task in guest.graft("tasks", "--json").json() if task["name"] == name)


def refused(task, reason):
    result = guest.graft("nudge", task, code=REFUSED)
    check(reason in result.errors, f"expected '{reason}' of {result}")


@tests.add("there is nothing to nudge without a transition")
def _():
    guest.expect(r"willing waits, old\n")
    result = guest.graft("nudge", task_id("willing"), code=NOTHING_TO_DO)
    check("no transition runs" in result.errors, str(result))


@tests.add("a task that can't be nudged is refused with the reason")
def _():
    guest.graft("load", PATCH, "--no-wait", "--deadline", "none")
    held = holders()
    check(set(held) == HOLDERS, str(held))
    refused(held["deaf"], "the task's wait can't be interrupted")
    refused(held["busy"], "the task isn't waiting")
    refused("999999", "there is no such task")
    moved = next(str(task["task"]) for task in guest.graft("tasks", "--json").json() if task["patch_state"] == "1")
    refused(moved, "the task doesn't hold the transition")
    refused_value = guest.graft("write", "/livepatch/errand/nudge", "willing", code=REFUSED)
    check("only to a task's id" in refused_value.errors, str(refused_value))
    check(holders() == held, "somebody has moved")


@tests.add("a nudged task returns, and goes on in the new universe")
def _():
    check("interrupted" not in guest.console, "interrupted before the nudge")
    guest.graft("nudge", holders()["willing"])
    guest.expect(r"willing is interrupted, old\n")
    guest.expect(r"willing waits, new\n")
    guest.graft("wait", "errand")
    check(guest.patches() == {"errand": "enabled"}, str(guest.patches()))


@tests.add("an unload is nudged likewise; the stack has the patch's function as people call it")
def _():
    guest.graft("unload", "errand", "--no-wait")
    stack = guest.graft("cat", f"/tasks/{holders()['willing']}/stack").output
    check(re.search(r"::run_errand_new\(graft::nudge_test::Way\)\+0x[0-9a-f]+ \[errand\]", stack), stack)
    guest.graft("nudge", holders()["willing"])
    guest.expect(r"willing is interrupted, new\n")
    guest.expect(r"willing waits, old\n")
    guest.graft("wait")
    check(guest.patches() == {}, str(guest.patches()))


@tests.add("a load with --nudge-after ends by itself, and nobody is nudged after it")
def _():
    guest.graft("load", PATCH, "--nudge-after", "300ms", "--deadline", "none")
    check(guest.patches() == {"errand": "enabled"}, str(guest.patches()))
    guest.expect(r"willing is interrupted, old\n")
    guest.expect(r"willing waits, new\n")
    # It would have come three more times.
    guest.graft("unload", "errand", "--no-wait")
    guest.graft("wait", "--timeout", "1s", code=TIMED_OUT)
    check(set(holders()) == HOLDERS, f"an unload was nudged: {holders()}")
    check("interrupted" not in guest.console[guest.seen:], "interrupted after the load's end")


with guest:
    tests.run()
