#!/usr/bin/env python3
"""docs/reference/life-cycle.md says, cell by cell, what the unit tests' table says."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qemu"))

from harness import ROOT, Tests, check

PAGE = (ROOT / "docs/reference/life-cycle.md").read_text(encoding="utf-8")
ROWS = re.compile(r'\{"([^"]+)",\s*"[^"]+",\s*\{([^}]*)\}\}')
WORDINGS = re.compile(r'GRAFT_WORDING\((\w+),\s*"([^"]+)"')
tests = Tests()


def source(path):
    return (ROOT / path).read_text(encoding="utf-8")


def table(first, width):
    """The page's table whose first heading is this: its headings, then its rows."""
    found = [block for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.M)
             if block.startswith(f"| {first} |") and block.split("\n")[0].count("|") == width + 1]
    lines = [line for block in found for line in block.strip().split("\n")]
    rows = [[cell.strip().strip("`").replace("–", "-") for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[0] != "---"]


def documented():
    """Situation to cells, of both tables; and the columns' names."""
    rows = table("situation", 7)
    heads = [index for index, row in enumerate(rows) if row[0] == "situation"]
    check(len(heads) == 2, f"{len(heads)} tables of situations")
    requests, events = rows[:heads[1]], rows[heads[1]:]
    check([row[0] for row in requests] == [row[0] for row in events], "the two tables have other rows")
    columns = requests[0][1:] + events[0][1:]
    return columns, {one[0]: one[1:] + two[1:] for one, two in zip(requests[1:], events[1:])}


def tested():
    rows = ROWS.findall(source("tests/unit/patch_life_table.cpp"))
    return {situation: re.findall(r'"([^"]*)"', cells) for situation, cells in rows}


@tests.add("situations, requests and outcomes")
def _():
    columns, said = documented()
    names = source("tests/unit/patch_life_table.h").split("kRequestNames = {")[1].split("}")[0]
    check(columns == re.findall(r'"(\w+)"', names), f"columns {columns}")
    check(list(said) == list(tested()), f"situations: {set(said) ^ set(tested())}")
    check(len(said) > 30, f"only {len(said)} situations found")
    for situation, cells in tested().items():
        for column, cell, told in zip(columns, cells, said[situation], strict=True):
            check(cell == told, f"{situation}, {column}: the page says '{told}', the test '{cell}'")


@tests.add("refusals and their wordings")
def _():
    wordings = dict(WORDINGS.findall(source("patch/refusal.cpp")))
    used = {cell for cells in tested().values() for cell in cells if cell in wordings}
    told = {row[0]: row[1] for row in table("refusal", 2)[1:]}
    check(set(told) == used, f"not in both: {sorted(set(told) ^ used)}")
    for code, text in told.items():
        check(wordings[code] == text, f"{code}: the page says '{text}'")


@tests.add("words")
def _():
    words = {row[0] for row in table("word", 2)[1:]} | {row[0] for row in table("refusal", 2)[1:]}
    stages = {"enabled", "on probation", "held", "dormant", "gone"}  # at the end
    used = {cell for cells in tested().values() for cell in cells}
    check(used <= words | stages, f"not explained: {sorted(used - words - stages)}")


if __name__ == "__main__":
    tests.run()
