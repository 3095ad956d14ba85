#!/usr/bin/env python3
"""A successor takes the place of the patch of its set; probation, rollback, commit, deadline and force."""
import subprocess
import time

from harness import BUILD, KEY, REFUSED, TIMED_OUT, Guest, Tests, check

FIRST = str(BUILD / "demo/patches/fix_total.klp")
WORK = BUILD / "qemu/replace"

tests = Tests()
# The desk takes six seconds for an invoice, in a function that the patches replace.
guest = Guest("demo.elf", "--smp", "2", append="pace=1000")


def successor(name):
    """The same functions under another name in the same set."""
    WORK.mkdir(parents=True, exist_ok=True)
    out = WORK / f"{name}.klp"
    subprocess.run([str(BUILD / "tools/mkpatch"), "--image", str(BUILD / "demo.elf"),
                    str(BUILD / "demo/patches/fix_total.o"), "-o", str(out), "--name", name, "--set", "fix-total",
                    "--key", str(KEY)],
                   check=True, capture_output=True)
    return str(out)


def value(patch, attribute):
    return guest.graft("cat", f"/livepatch/{patch}/{attribute}").output.strip()


def history():
    return [(record["event"], record["patch"]) for record in guest.graft("history", "--json").json()]


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(0.1)


@tests.add("a deadline turns a load round and names the task that held it")
def _():
    guest.expect(r"desk: invoice \d+")
    result = guest.graft("load", FIRST, "--deadline", "300ms", code=TIMED_OUT)
    check("desk" in result.errors and "invoice_total" in result.errors, result.errors)
    check(guest.patches() == {}, str(guest.patches()))
    events = [event for event, _ in history()]
    check("expired" in events and "held" in events and events.index("expired") < events.index("held"), str(events))


@tests.add("a successor replaces what its set has, and is on probation")
def _():
    guest.graft("load", FIRST)
    output = guest.graft("load", successor("fix-total-2"), "--probation", "10m").output
    check("fix-total: replaced by fix-total-2" not in output, output)
    check(guest.patches() == {"fix-total-2": "enabled"}, str(guest.patches()))
    check(value("fix-total-2", "replaces") == "fix-total", "replaces")
    check(value("fix-total-2", "dormant") == "fix-total", "dormant")
    check(500 < int(value("fix-total-2", "probation")) <= 600, "probation")
    result = guest.graft("load", successor("fix-total-3"), code=REFUSED)
    check("probation" in result.errors and "fix-total-2" in result.errors, result.errors)


@tests.add("rollback goes back to the predecessor")
def _():
    output = guest.graft("rollback", "fix-total-2").output
    check("rolled-back in" in output, output)
    check(guest.patches() == {"fix-total": "enabled"}, str(guest.patches()))
    guest.graft("rollback", "fix-total", code=REFUSED)


@tests.add("commit and the end of the time let the predecessor go")
def _():
    guest.graft("load", successor("fix-total-2"), "--probation", "10m")
    guest.graft("commit", "fix-total-2")
    check(value("fix-total-2", "dormant") == "", "dormant")
    wait_for(lambda: ("freed", "fix-total") in history(), "the predecessor isn't freed")
    guest.graft("load", successor("fix-total-3"), "--probation", "2s")
    wait_for(lambda: value("fix-total-3", "dormant") == "", "the probation doesn't end")
    check(("committed", "fix-total-3") in history(), "no record")


@tests.add("unload during probation takes both")
def _():
    guest.graft("load", successor("fix-total-4"), "--probation", "10m")
    guest.graft("unload", "fix-total-4")
    check(guest.patches() == {}, str(guest.patches()))
    wait_for(lambda: {("freed", "fix-total-3"), ("freed", "fix-total-4")} <= set(history()), "not freed")


@tests.add("force ends a held transition, taints for good, and what was left is freed when nothing can run in it")
def _():
    check("forced" not in guest.graft("cat", "/tainted").output, "tainted before")
    guest.graft("load", FIRST)
    guest.skip_console()
    guest.expect(r"desk: invoice \d+")  # the desk is inside for seconds now
    guest.graft("load", successor("fix-total-5"), "--no-wait")
    check(guest.patches() == {"fix-total": "unloading", "fix-total-5": "loading"}, str(guest.patches()))
    guest.graft("force", "fix-total-5")
    check(guest.patches() == {"fix-total-5": "enabled"}, str(guest.patches()))
    check("fix-total-5" in guest.graft("cat", "/tainted").output, "not tainted")
    wait_for(lambda: ("freed", "fix-total") in history()[-4:], f"not freed: {history()[-6:]}")
    guest.expect(r"desk: [^\n]*right")
    guest.graft("unload", "fix-total-5")
    check("fix-total-5" in guest.graft("cat", "/tainted").output, "the mark has gone")


with guest:
    tests.run()
