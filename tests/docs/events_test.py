#!/usr/bin/env python3
"""The history's events, their columns and its size in docs/reference/control-tree.md are those that the unit tests find."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qemu"))

from harness import ROOT, Tests, check

PAGE = (ROOT / "docs/reference/control-tree.md").read_text(encoding="utf-8")
SECTION = PAGE.split("### history\n", 1)[1].split("\n### ", 1)[0]
UNIT = (ROOT / "tests/unit/patch_history_test.cpp").read_text(encoding="utf-8")
HEADER = (ROOT / "patch/history.h").read_text(encoding="utf-8")
tests = Tests()


def words(text, mark):
    return re.findall(f"{mark}([a-z-]+){mark}", text)


@tests.add("events and their columns")
def _():
    documented = [(event, words(columns, "`")) for event, columns in re.findall(r"^\| `([a-z-]+)` \|([^|]*)\|", SECTION, re.M)]
    rows = UNIT.split("kColumns[] = {", 1)[1].split("\n};", 1)[0]
    tested = [(event, words(columns, '"')) for event, columns in re.findall(r'\{"([a-z-]+)",\s*\{([^}]*)\}\}', rows)]
    count = int(re.search(r"kHistoryEventCount = (\d+)", HEADER)[1])
    check(len(tested) == count, f"{len(tested)} events found in the unit tests, {count} in the code")
    for told, found in zip(documented, tested):
        check(told == found, f"the page says {told}, the unit tests {found}")
    check(len(documented) == count, f"{len(documented)} events in the page, {count} in the code")


@tests.add("records kept")
def _():
    size = re.search(r"kHistorySize = (\d+)", HEADER)[1]
    check(f"The newest {size} records are kept." in SECTION, f"{size} records are kept")


if __name__ == "__main__":
    tests.run()
