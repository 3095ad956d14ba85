#!/usr/bin/env python3
"""The refusals and warnings that docs/writing-patches.md lists are those that tools/differ and tools/build have."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qemu"))

from harness import ROOT, Tests, check

PAGE = (ROOT / "docs/writing-patches.md").read_text(encoding="utf-8")
SOURCES = sorted(path for folder in ("tools/differ", "tools/build") for path in (ROOT / folder).glob("*.cpp"))
PLACE = r"(?:(?:\{[^{}]*\}|\w+),\s*)?"  # what may stand before the code
REMARKS = {"refuse": r"\brefuse\(\s*" + PLACE + r'"([a-z-]+)"', "warn": r"\bwarn\(\s*" + PLACE + r'"([a-z-]+)"'}
LISTED = {"refuse": "## Refusals", "warn": "## Warnings"}
RECORD = re.compile(r'(\w+)\.push_back\(\s*\{\.code = "([a-z-]+)"')
RECORDS = {"refuse": "refusals", "warn": "warnings"}
CALLS = {"refuse": r"\brefuse\(", "warn": r"\bwarn\("}
DECLARED = re.compile(r"\b(?:void|auto|Outcome<\w+>|PackResult<\w+>) (?:JudgeContext::)?(?:refuse|warn)\(")
tests = Tests()


def said(kind):
    codes = set()
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        codes |= set(re.findall(REMARKS[kind], text))
        codes |= {code for where, code in RECORD.findall(text) if where == RECORDS[kind]}
    return codes


def listed(kind):
    section = PAGE.split(LISTED[kind] + "\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (`[^|]*) \|", section, re.M)
    return {code for cell in cells for code in re.findall(r"`([a-z-]+)`", cell)} - {"code"}


def compare(kind):
    check(len(said(kind)) > 5, f"only {said(kind)} found in the sources")
    check(not said(kind) - listed(kind), f"not in the page: {sorted(said(kind) - listed(kind))}")
    check(not listed(kind) - said(kind), f"in the page only: {sorted(listed(kind) - said(kind))}")


@tests.add("refusals")
def _():
    compare("refuse")


@tests.add("warnings")
def _():
    compare("warn")


@tests.add("every refusal and warning has a code that is found")
def _():
    for path in SOURCES:
        text = DECLARED.sub("", path.read_text(encoding="utf-8"))
        for kind, call in CALLS.items():
            calls, found = len(re.findall(call, text)), len(re.findall(REMARKS[kind], text))
            check(calls == found, f"{path.name}: {calls} calls of {kind}(), but {found} codes")


if __name__ == "__main__":
    tests.run()
