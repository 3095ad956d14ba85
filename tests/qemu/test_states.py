#!/usr/bin/env python3
"""States over the control link: callbacks in their task, taking over, refusing, being late, and what stays attached."""
import re
import subprocess

from harness import BUILD, REFUSED, Guest, Tests, check

PATCHES = BUILD / "test-states/patches"

CALLED = re.compile(r"(\w+ (?:pre_patch|post_patch|pre_unpatch|post_unpatch)|entry \d+ ends)$", re.M)

tests = Tests()
guest = Guest("test-states.elf", "--smp", "2")


def patch(name):
    return str(PATCHES / f"{name}.klp")


def callbacks():
    """What has been called or has ended since the last time, in its order."""
    lines = CALLED.findall(guest.graft("log").output)
    new = lines[callbacks.seen:]
    callbacks.seen = len(lines)
    return new


callbacks.seen = 0


def answer_is(number):
    guest.skip_console()
    guest.expect(r"answer \d+\n")
    guest.expect(rf"answer {number}\n")


def states(name):
    return [(state["name"], state["version"], state["owner"], state["stage"])
            for state in guest.graft("status", name, "--json").json()["states"]]


@tests.add("plan and inspect show states")
def _():
    check("has state ledger" in guest.graft("plan", patch("first")).output, "plan")
    check("ledger" in guest.graft("inspect", patch("first")).output, "inspect")
    answer_is(1)


@tests.add("callbacks run in pairs")
def _():
    callbacks()
    guest.graft("load", patch("first"))
    answer_is(10)
    check(states("first") == [("ledger", "1", "first", "present")], str(states("first")))
    check(callbacks() == ["first pre_patch", "first post_patch"], "load")
    guest.graft("unload", "first")
    answer_is(1)
    run = callbacks()
    check(run[:2] == ["first pre_unpatch", "first post_unpatch"], f"unload: {run}")
    check(sorted(run[2:]) == [f"entry {value} ends" for value in range(10, 14)], f"what was attached: {run}")
    check("4 shadow variables were left" in guest.graft("log").output, "the log counts what was left")


@tests.add("a successor takes over without a call")
def _():
    guest.graft("load", patch("first"))
    callbacks()
    guest.graft("load", patch("second"))
    answer_is(111)
    check(callbacks() == [], "nothing runs")
    check(states("second") == [("ledger", "2", "second", "present")], str(states("second")))


@tests.add("an older version is refused")
def _():
    errors = guest.graft("load", patch("first"), code=REFUSED).errors
    check("ledger" in errors and "later version" in errors, errors)


@tests.add("the id of another set's state is refused")
def _():
    errors = guest.graft("load", patch("foreign"), code=REFUSED).errors
    check("another set" in errors and "second" in errors, errors)
    check(callbacks() == [], "no callback ran")


@tests.add("a successor undoes what it does not name")
def _():
    guest.graft("load", patch("without"))
    answer_is(201)
    check(callbacks()[:2] == ["second pre_unpatch", "second post_unpatch"], "the predecessor's callbacks")
    guest.graft("unload", "without")


@tests.add("who refuses leaves the system as it was")
def _():
    callbacks()
    errors = guest.graft("load", patch("refusing"), code=REFUSED).errors
    check("unwilling" in errors and "refused" in errors, errors)
    check(callbacks() == ["willing pre_patch", "unwilling pre_patch", "willing post_unpatch"], "pairs")
    check(guest.patches() == {}, str(guest.patches()))


@tests.add("a callback past its time is named and goes on, though its client has gone")
def _():
    guest.skip_console()
    loading = guest.start_graft("load", patch("slow"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    guest.expect("slow pre_patch")
    loading.terminate()
    loading.communicate()
    guest.expect("slow: pre_patch of state slow is past its time of 500 ms")
    blocking = guest.graft("cat", "/livepatch/slow/blocking").output
    check("pre_patch of state slow (past its time)" in blocking, f"blocking: '{blocking}'")
    errors = guest.graft("load", patch("first"), code=REFUSED).errors
    check("slow: pre_patch of state slow" in errors, errors)
    guest.expect("slow post_patch")
    guest.graft("wait", "slow")
    check(guest.patches() == {"slow": "enabled"}, str(guest.patches()))
    guest.graft("unload", "slow")


@tests.add("a load that waits can be taken back")
def _():
    guest.skip_console()
    loading = guest.start_graft("load", patch("slow"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    guest.expect("slow pre_patch")
    loading.terminate()
    loading.communicate()
    callbacks()
    guest.graft("write", "/livepatch/slow/unregister", "1")
    guest.expect("slow post_unpatch")
    check(callbacks() == ["slow post_unpatch"], "nothing else ran")
    check("taken back" in guest.graft("history").output, "the history says why")
    check(guest.patches() == {}, str(guest.patches()))


LATE = r"boot patch \S+ is not in force everywhere after 10 s"


@tests.add("a boot patch that doesn't come into force holds the application up for 10 s and no longer")
def _():
    with Guest("test-states.elf", "--module", patch("stubborn")) as late:
        late.expect("stubborn pre_patch")
        early = late.expect(f"{LATE}|answer")
        check("answer" not in early.group(), "the application has started before")
        late.expect(r"answer 1\n")
        check(list(late.patches()) == ["stubborn"], str(late.patches()))
        late.graft("load", patch("first"), code=REFUSED)


@tests.add("or the system stops, when boot patches are required")
def _():
    with Guest("test-states.elf", "--module", patch("stubborn"), append="patches=required panic=exit") as late:
        late.expect(f"panic: {LATE}")
        check("answer" not in late.console, "the application has started")


@tests.add("an irreversible state stays")
def _():
    guest.graft("load", patch("final"))
    answer_is(300)
    errors = guest.graft("unload", "final", code=REFUSED).errors
    check("can't be undone" in errors, errors)
    errors = guest.graft("load", patch("without"), code=REFUSED).errors
    check("can't be undone" in errors, errors)
    answer_is(300)


with guest:
    tests.run()
