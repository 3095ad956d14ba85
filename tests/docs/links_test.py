#!/usr/bin/env python3
"""What the pages point at is there: links between them, headings, and files of the repository that they name."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qemu"))

from harness import ROOT, Tests, check

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
NAMED = re.compile(r"`([a-z0-9_]+/[A-Za-z0-9_./-]+)`")
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"build"}
# Names that stand for others, and another project's.
PLACEHOLDERS = {"apps/name", "tests/guest/NAME/", "tools/NAME/main.cpp", "tools/testing/selftests/livepatch/"}

tests = Tests()


def anchors(page):
    """Headings as links name them."""
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in HEADING.findall(page.read_text("utf-8"))}


@tests.add("links lead somewhere")
def _():
    broken = []
    for page in PAGES:
        for link in LINK.findall(page.read_text("utf-8")):
            target, _, anchor = link.partition("#")
            if target.startswith(("http:", "https:")):
                continue
            path = (page.parent / target).resolve() if target else page
            if not path.exists() or (anchor and anchor not in anchors(path)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    check(not broken, f"broken links: {broken}")


@tests.add("files that are named are there")
def _():
    missing = []
    for page in PAGES:
        for name in NAMED.findall(page.read_text("utf-8")):
            is_ours = name.split("/")[0] in FOLDERS and name not in PLACEHOLDERS
            if is_ours and not (ROOT / name).exists() and not list(ROOT.glob(name + "*")):
                missing.append(f"{page.relative_to(ROOT)}: {name}")
    check(not missing, f"missing: {missing}")


tests.run()
