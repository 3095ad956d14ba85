#!/usr/bin/env python3
"""The main job over the serial line: a patch comes, works, and goes without a trace."""
import re

from harness import BUILD, NOTHING_TO_DO, REFUSED, Guest, Tests, check, shown

PATCH = str(BUILD / "demo/patches/fix_total.klp")
SOUND = re.compile(r"total (\d+)\.(\d\d), (right|should be (\d+)\.(\d\d))")

tests = Tests()
guest = Guest("demo.elf", "--smp", "4")


def invoices_are(word):
    """Each till says `word` about an invoice begun from now on, and says nothing else afterwards."""
    guest.skip_console()
    for till in ("till 1", "till 2", "desk"):
        guest.expect(rf"{till}[^\n]*(right|WRONG)[^\n]*\n")  # may have been begun before
    for till in ("till 1", "till 2", "desk"):
        line = guest.expect(rf"{till}[^\n]*(?:right|WRONG)[^\n]*\n").group(0)
        check(word in line, f"expected {word}: {line}{shown(guest)}")


def no_total_is_mixed():
    """A mix of old and new is wrong by a factor of a hundred; both alone are cents off at most."""
    for match in SOUND.finditer(guest.console):
        total = int(match[1]) * 100 + int(match[2])
        lawful = total if match[3] == "right" else int(match[4]) * 100 + int(match[5])
        check(abs(total - lawful) < 10, f"a mixed total: {match[0]}")


@tests.add("wrong before")
def _():
    invoices_are("WRONG")


@tests.add("plan answers and changes nothing")
def _():
    answer = guest.graft("plan", PATCH).output
    for word in ("line_amount", "close_invoice", "invoice_total"):
        check(word in answer, f"the plan doesn't name {word}:\n{answer}")
    check(guest.patches() == {}, "the plan has loaded something")
    invoices_are("WRONG")


@tests.add("load")
def _():
    output = guest.graft("load", PATCH).output
    check("loaded in" in output, output)
    check(guest.patches() == {"fix-total": "enabled"}, str(guest.patches()))
    invoices_are("right")


@tests.add("status shows it")
def _():
    status = guest.graft("status", "fix-total", "--json").json()
    patched = [function["name"] for function in status["functions"] if function["patched"]]
    check(len(patched) == 2, f"patched: {patched}")
    check(status["description"].startswith("rounds an invoice once"), status["description"])
    check(guest.graft("cat", "/livepatch/fix-total/enabled").output == "1\n", "enabled")
    check(guest.graft("cat", "/livepatch/fix-total/transition").output == "0\n", "transition")


def symbols_of_patches():
    rows = [line.split("\t") for line in guest.graft("cat", "/symbols").output.splitlines()]
    check(all(len(row) in (5, 6) for row in rows), "a row of /symbols has neither 5 nor 6 columns")
    return [row for row in rows if len(row) == 6]


@tests.add("its functions are among the symbols")
def _():
    rows = symbols_of_patches()
    check(rows and all(row[1] == "function" and row[3] == "0" and row[5] == "fix-total" for row in rows), str(rows))
    check(any("line_amount" in row[4] for row in rows), str(rows))


@tests.add("a second load of the name is nothing to do")
def _():
    guest.graft("load", PATCH, code=NOTHING_TO_DO)


@tests.add("another patch of the same functions is refused")
def _():
    result = guest.graft("load", PATCH, "--name", "other", code=REFUSED)
    check("fix-total" in result.errors, f"the holder isn't named: {result.errors}")
    check(guest.patches() == {"fix-total": "enabled"}, str(guest.patches()))


@tests.add("unload")
def _():
    output = guest.graft("unload", "fix-total").output
    check("unloaded in" in output, output)
    check(guest.patches() == {}, str(guest.patches()))
    check(symbols_of_patches() == [], "its symbols are still there")
    invoices_are("WRONG")


@tests.add("unload of what isn't there is nothing to do")
def _():
    guest.graft("unload", "fix-total", code=NOTHING_TO_DO)


@tests.add("writing 0 to `enabled` unloads, too")
def _():
    guest.graft("load", PATCH)
    guest.graft("write", "/livepatch/fix-total/enabled", "0")
    guest.graft("wait")
    check(guest.patches() == {}, str(guest.patches()))


@tests.add("ten cycles leave nothing behind")
def _():
    def memory():
        return {name: value for name, value in guest.metrics().items()
                if re.search(r"(page|heap|record|symbol|patch|trampoline)", name) and "total" not in name}

    for cycle in range(10):
        guest.graft("load", PATCH)
        guest.graft("unload", "fix-total")
        if cycle == 2:
            before = memory()
    after = memory()
    changed = {name: (before.get(name), value) for name, value in after.items() if before.get(name) != value}
    check(not changed, f"changed: {changed}")
    check(guest.graft("ls", "/lingering").output == "", "something lingers")


@tests.add("history tells all of it")
def _():
    events = [record["event"] for record in guest.graft("history", "--json").json()]
    check(events.count("loaded") == 12 and events.count("unloaded") == 12, str(events))
    check(events.count("refused") >= 1, str(events))


@tests.add("log, ls, cat")
def _():
    check(guest.graft("log").output.count("\n") > 5, "the log is short")
    names = guest.graft("ls", "/").output.split()
    for name in ("version", "log", "history", "symbols", "tasks/", "livepatch/"):
        check(name in names, f"no {name} in / ({names})")
    check("line_amount" in guest.graft("cat", "/symbols").output, "/symbols lacks line_amount")
    guest.graft("cat", "/nothing", code=REFUSED)


@tests.add("no total was mixed in all this time")
def _():
    no_total_is_mixed()


with guest:
    tests.run()
