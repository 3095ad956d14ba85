#!/usr/bin/env python3
"""A canary's calls are measured in both universes, and health rules take a patch back by themselves."""
import re
import time

from harness import BUILD, LIMIT, REFUSED, Guest, Tests, check

PATCHES = BUILD / "test-rules/patches"
EVEN, SLOW, LATE, ASIDE = (str(PATCHES / f"{name}.klp") for name in ("even", "slow", "late", "aside"))
CANARY = ("--canary", "tasks=canary-*")
ENOUGH = 20_000  # calls: many more than a rule compares from
SOME = 2000      # more than that, when they are slow
# The slow versions take several hundred times as long. What a busy host adds to one call in a hundred, when not many more
# than a thousand have been counted, mustn't look like that: twenty times has been seen.
RULE = "p99>100x"

tests = Tests()
guest = Guest("test-rules.elf", "--smp", "2")


def measured(patch):
    """What is measured of the patch's one function, or None."""
    return guest.graft("status", patch, "--json").json()["functions"][0].get("measured")


def until(condition, what):
    """What is asked is the control link: the console says nothing of it."""
    end = time.monotonic() + LIMIT
    while not condition():
        check(time.monotonic() < end, f"no {what} within {LIMIT} s")
        time.sleep(0.2)


def calls(patch, version):
    found = measured(patch)
    return int(found[version]["timed"]) if found else 0


def until_gone(what):
    """A patch that went of its own accord has its name until its memory is free. A dead word on a stack may keep that; it
    is searched for again on request."""
    def is_gone():
        if guest.patches() != {}:
            return False
        lingering = guest.graft("ls", "/lingering").output.split()
        for name in lingering:
            guest.graft("write", f"/lingering/{name.rstrip('/')}", "1", code=None)  # it may have gone meanwhile
        return not lingering

    until(is_gone, what)


def file_of(patch, name):
    folder = guest.graft("ls", f"/livepatch/{patch}/functions").output.split()[0].rstrip("/")
    return guest.graft("cat", f"/livepatch/{patch}/functions/{folder}/{name}").output


def reasons():
    return [record["reason"] for record in guest.graft("history", "--json").json()
            if record["event"] in ("aborted", "withdrawn")]


def refused(reason, *arguments):
    result = guest.graft("load", EVEN, *arguments, code=REFUSED)
    check(reason in result.errors, f"expected '{reason}' of {result}")
    check(guest.patches() == {}, str(guest.patches()))


@tests.add("a rule that is none, or that could never act, is refused")
def _():
    guest.expect(r"the tasks work")
    refused("abort_if=p99>2 is no health rule", *CANARY, "--abort-if", "p99>2")
    refused("more than 4 health rules", *CANARY, *("--abort-if", "faults>0") * 5)
    refused("a p99 rule needs a canary", "--probation", "60s", "--abort-if", "p99>2x")
    refused("neither canary nor probation", "--abort-if", "faults>0")


@tests.add("calls are measured in both universes, and a patch that keeps to its rules stays")
def _():
    guest.graft("load", EVEN, *CANARY, "--probation", "600s", "--abort-if", RULE, "--abort-if", "faults>0")
    until(lambda: min(calls("even", "old"), calls("even", "new")) >= ENOUGH, "calls of both versions")
    found = measured("even")
    for version in ("old", "new"):
        figures = {key: int(value) for key, value in found[version].items()}
        check(figures["timed"] > 0 and figures["faults"] == 0, str(found))
        check(0 < figures["min_ns"] <= figures["mean_ns"] and figures["min_ns"] <= figures["p99_ns"], str(found))
    table = guest.graft("status", "even").output
    check(re.search(r"FUNCTION +VERSION +CALLS +FAULTS +MIN +MEAN +P99", table) and " us" in table, table)
    check(len(file_of("even", "calls").split("\t")) == 2, "calls: not two columns")
    check(len(file_of("even", "latency").splitlines()) == 2, "latency: not two lines")
    check(file_of("even", "faults") == "0\t0\n", "faults")
    check(guest.graft("cat", "/livepatch/even/abort_if").output == f"{RULE} faults>0\n", "the rules aren't shown")
    check(guest.patches() == {"even": "canary"}, str(guest.patches()))


@tests.add("on probation the new version alone is called and measured, until commit")
def _():
    guest.graft("promote", "even")
    old, new = calls("even", "old"), calls("even", "new")
    until(lambda: calls("even", "new") >= new + ENOUGH, "calls on probation")
    check(calls("even", "old") == old, "the old version was called on probation")
    check(guest.patches() == {"even": "enabled"}, str(guest.patches()))
    # Another set's transition puts every task on the other side, for which there is one version, too.
    for change in ("load", ASIDE), ("unload", "aside"):
        guest.graft(*change)
        new = calls("even", "new")
        until(lambda: calls("even", "new") >= new + ENOUGH, f"calls after the {change[0]}")
        check(calls("even", "old") == old, f"the old version was called after the {change[0]}")
    guest.graft("commit", "even")
    check(measured("even") is None, "measured after commit")
    check([file_of("even", name) for name in ("calls", "faults", "latency")] == ["", "", ""], "not empty")
    check(reasons() == [], str(reasons()))
    guest.graft("unload", "even")


@tests.add("a canary that is too slow is taken back by itself")
def _():
    guest.graft("load", SLOW, *CANARY, "--abort-if", "faults>0", "--abort-if", RULE)
    until_gone("end of the slow canary")
    check(len(reasons()) == 1 and reasons()[0].endswith(f"(p99; rule {RULE})"), str(reasons()))
    check("work" in reasons()[0], str(reasons()))


@tests.add("without a rule it stays")
def _():
    guest.graft("load", SLOW, *CANARY)
    until(lambda: min(calls("slow", "old"), calls("slow", "new")) >= SOME, "calls of both versions")
    found = measured("slow")
    check(int(found["new"]["min_ns"]) > int(found["old"]["min_ns"]), str(found))
    check(guest.patches() == {"slow": "canary"}, str(guest.patches()))
    guest.graft("reverse", "slow")
    check(guest.patches() == {}, str(guest.patches()))


@tests.add("one that is too slow only on probation is rolled back by itself")
def _():
    guest.graft("load", LATE, *CANARY, "--probation", "600s", "--abort-if", RULE)
    until(lambda: min(calls("late", "old"), calls("late", "new")) >= ENOUGH, "calls of both versions")
    check(guest.patches() == {"late": "canary"}, str(guest.patches()))
    guest.graft("promote", "late")
    until_gone("rollback")
    check(len(reasons()) == 2 and reasons()[1].endswith(f"(p99; rule {RULE})"), str(reasons()))


with guest:
    tests.run()
