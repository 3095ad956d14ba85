#!/usr/bin/env python3
"""A canary moves its share and nobody else, until it is promoted or taken back; and others wait for that."""
import contextlib
import re
import subprocess

from harness import BUILD, NOTHING_TO_DO, REFUSED, USAGE, Guest, Tests, check

PATCHES = BUILD / "test-canary/patches"
VIEW, OTHER = str(PATCHES / "view.klp"), str(PATCHES / "other.klp")
WEB = {"web-0", "web-1", "web-2"}
WORKERS = WEB | {f"job-{number}" for number in range(3, 10)}

tests = Tests()
guest = Guest("test-canary.elf", "--smp", "2")


def seen_by(start, version):
    """The workers that have told since `start` that they see it."""
    return set(re.findall(rf"(\w+-\d) sees {version}\n", guest.console[start:]))


def births(start):
    """What the short-lived tasks have told since `start`, as {(name, version)}."""
    return set(re.findall(r"(visitor|child) is born (\w+)\n", guest.console[start:]))


def until_seen(start, version, workers):
    guest._until(lambda: seen_by(start, version) >= workers, f"sight of {version} by {workers}")
    check(seen_by(start, version) == workers, f"{version} is seen by {seen_by(start, version)}, not {workers}")


def some_births(start):
    """Waits until a few have been born; returns what they told after the first ones, which may be older."""
    for name in ("visitor", "child") * 2:
        guest.skip_console()
        guest.expect(rf"{name} is born")
    return births(start)


def canary():
    return guest.graft("status", "view", "--json").json()["canary"]


def now():
    guest.skip_console()
    return guest.seen


def histories(event):
    return [record for record in guest.graft("history", "--json").json() if record["event"] == event]


@contextlib.contextmanager
def held(*share):
    """A canary for the time of a test, which is taken back whatever comes of it."""
    guest.graft("load", VIEW, "--canary", *share)
    try:
        yield
    finally:
        guest.graft("reverse", "view", code=None)
    check(guest.patches() == {}, str(guest.patches()))


@tests.add("a share that makes no sense is refused")
def _():
    guest.expect(r"visitor is born old\n")
    for share in ("0%", "101%", "ten", "tasks=", "tasks=" + "x" * 65, "5"):
        guest.graft("load", VIEW, "--canary", share, code=USAGE)
    guest.graft("write", "/livepatch/view.opt", "canary=200%\n", code=None)
    check(guest.patches() == {}, str(guest.patches()))


@tests.add("the tasks that match move, and nobody else")
def _():
    start = now()
    guest.graft("load", VIEW, "--canary", "tasks=web-*")
    until_seen(start, "new", WEB)
    start = now()
    check(some_births(start) == {("visitor", "old"), ("child", "old")}, str(births(start)))
    check(seen_by(start, "new") == set(), "others have moved")
    state = canary()
    check((state["share"], state["moved"], state["chosen"], state["stage"]) == ("tasks=web-*", "3", "3", "held"),
          str(state))
    check(guest.patches() == {"view": "canary"}, str(guest.patches()))
    check("3 of" in guest.graft("status", "view").output, "the status doesn't show it")
    states = {task["name"]: str(task["patch_state"]) for task in guest.graft("tasks", "--json").json()}
    check({name for name in WORKERS if states[name] == "1"} == WEB, str(states))
    guest.graft("wait", "view")


@tests.add("others are refused meanwhile, naming the canary and its age")
def _():
    result = guest.graft("load", OTHER, code=REFUSED)
    check(re.search(r"a canary is to be promoted or reversed first \(view\), \d+ s old", result.errors), str(result))
    check(guest.patches() == {"view": "canary"}, str(guest.patches()))


@tests.add("a client that goes away changes nothing")
def _():
    client = guest.start_graft("history", "--follow", stdout=subprocess.DEVNULL)
    client.kill()
    client.wait()
    check(canary()["stage"] == "held", str(canary()))


@tests.add("promoted, everybody follows")
def _():
    start = now()
    guest.graft("promote", "view", "--deadline", "60s")
    until_seen(start, "new", WORKERS - WEB)
    check(guest.patches() == {"view": "enabled"}, str(guest.patches()))
    guest.graft("promote", "view", code=NOTHING_TO_DO)
    promoted = histories("promoted")
    check(len(promoted) == 1 and promoted[0]["moved"] == "3", str(promoted))
    guest.graft("load", OTHER)
    guest.graft("unload", "other")
    start = now()
    guest.graft("unload", "view")
    until_seen(start, "old", WORKERS)


@tests.add("reversed, the share comes back")
def _():
    start = now()
    with held("tasks=web-?"):
        until_seen(start, "new", WEB)
    until_seen(start, "old", WEB)


@tests.add("a percentage is kept by those that are born")
def _():
    with held("25%"):
        for _ in range(3):
            some_births(now())
            state = canary()
            total, chosen = int(state["total"]), int(state["chosen"])
            check(chosen >= (total * 25 + 99) // 100 - 1, str(state))
            check(chosen <= (total * 25 + 99) // 100 + 2, str(state))


@tests.add("the newly born move, unless they are born inside a changing function")
def _():
    start = now()
    with held("new"):
        some_births(now())
        later = now()
        check(some_births(later) == {("visitor", "new"), ("child", "old")}, str(births(later)))
        check(seen_by(start, "new") == set(), "a worker has moved")
    some_births(now())
    later = now()
    check(some_births(later) == {("visitor", "old"), ("child", "old")}, str(births(later)))


@tests.add("who is born inside a changing function goes with its creator")
def _():
    with held("tasks=insider"):
        some_births(now())
        later = now()
        check(some_births(later) == {("visitor", "old"), ("child", "new")}, str(births(later)))


@tests.add("who is born outside needn't go with its creator")
def _():
    with held("tasks=maker"):
        some_births(now())
        later = now()
        check(some_births(later) == {("visitor", "old"), ("child", "old")}, str(births(later)))


@tests.add("a share without tasks is a canary, too")
def _():
    guest.graft("load", VIEW, "--canary", "tasks=nobody")
    state = canary()
    check((state["moved"], state["chosen"], state["stage"]) == ("0", "0", "held"), str(state))
    guest.graft("unload", "view")
    check(guest.patches() == {}, str(guest.patches()))


@tests.add("a canary's probation begins when its promotion has ended")
def _():
    guest.graft("load", VIEW, "--canary", "10%", "--probation", "1h")
    guest.graft("promote", "view")
    start = now()
    guest.graft("rollback", "view")
    until_seen(start, "old", WORKERS)
    events = [record["event"] for record in guest.graft("history", "--json").json()]
    expected = ["load-started", "canary", "promoted", "loaded", "rollback-started", "rolled-back"]
    check(events[events.index("promoted", -7) - 2:][:6] == expected, str(events))


with guest:
    tests.run()
