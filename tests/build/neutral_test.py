#!/usr/bin/env python3
"""`graft build` over edits that change no code: no function may be called changed, whatever file they are in.

usage: neutral_test.py [--each | --sample N [--seed S]] [WORD...]     only the tests whose names have one of the words
Each source and header that the image was made of is edited: comments only, white space only, and declared lines put above
everything else, so that all that follows moves. One build for each kind of edit over the whole tree; --each makes a build
for each file and kind, and takes about an hour. Of lines above, which has to compile all it reaches twice, --sample takes N
files at random, not counting the application's, and leaves out headers that reach more than a few units: that is what
`make test` runs.
"""
import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qemu"))
from harness import BUILD, GRAFT, NOTHING_TO_DO, Tests, check  # noqa: E402

BASE = BUILD / "demo"
SOURCES = BASE / "baseline/sources"
LIMIT = 1500  # seconds; a hang detector
FEW = 3       # units that a file of a sample may reach
ASSEMBLED = ("arch/x86_64/offsets.h",)  # headers that assembly includes, too
tests = Tests()


def plain_lines(text):
    """Numbers of lines that stand outside comments, raw strings, macro definitions and continued lines: (index, line)."""
    in_comment = in_raw = continued = False
    for index, line in enumerate(text.splitlines()):
        was_inside = in_comment or in_raw or continued
        continued = line.endswith("\\")
        if 'R"' in line:
            in_raw = True
        if in_raw and ')"' in line or re.search(r'\)[A-Z]*"', line):
            in_raw = False
        if "/*" in line:
            in_comment = True
        if "*/" in line:
            in_comment = False
        if not was_inside and not in_comment and not in_raw and not continued:
            yield index, line


def with_comments(name, text):
    lines = text.splitlines()
    for index, line in plain_lines(text):
        if line.strip() and "//" not in line and not line.lstrip().startswith("#"):
            lines[index] = line + "  // neutral"
    return "\n".join(["// neutral", *lines]) + "\n"


def with_white_space(name, text):
    lines = text.splitlines()
    for index, line in plain_lines(text):
        if line.startswith("    ") and not line.lstrip().startswith("#"):
            lines[index] = "    " + line + " "
    return "\n\n" + "\n".join(lines) + "\n\n"


def is_part_of_initialiser(text):
    """Is it included where values are listed? No declaration can stand there."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    return code.lstrip().startswith("{")


def with_lines_above(name, text):
    """Declarations behind the last include (outside #if), so that each following line moves by three."""
    lines = text.splitlines()
    if name.endswith(".S") or name in ASSEMBLED or is_part_of_initialiser(text):
        return "\n\n\n" + text
    depth, at = 0, 0
    for index, line in enumerate(lines):
        word = line.strip()
        if re.match(r"#\s*if", word):
            depth += 1
        elif re.match(r"#\s*endif", word):
            depth -= 1
        elif depth == 0 and re.match(r"#\s*(include|pragma)", word):
            at = index + 1
    added = ["struct GraftNeutral;", "", "struct GraftNeutral;"]
    return "\n".join(lines[:at] + added + lines[at:]) + "\n"


KINDS = {"comments": with_comments, "white space": with_white_space, "lines above": with_lines_above}


def reach():
    """How many units are made from each file."""
    return Counter(line.split("\t")[1].strip() for line in (BASE / "baseline/record").read_text(encoding="utf-8").splitlines()
                   if line.startswith("from\t"))


def edited_files():
    """All that some unit is made from: of a package's headers, most are in no unit."""
    made_from = reach()
    return sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*")
                  if path.suffix in (".cpp", ".c", ".h", ".S") and path.is_file()
                  and (not path.is_relative_to(SOURCES / "build-sources") or str(path.relative_to(SOURCES)) in made_from))


def build(kind, names):
    """Changed functions and the report of one `graft build` over a tree in which `names` are edited."""
    with tempfile.TemporaryDirectory(prefix="graft-neutral.") as folder:
        tree = Path(folder, "tree")
        shutil.copytree(SOURCES, tree)
        for name in names:
            path = tree / name
            text = path.read_text(encoding="utf-8")
            path.unlink()
            path.write_text(KINDS[kind](name, text), encoding="utf-8")
        done = subprocess.run([str(GRAFT), "build", "--base", str(BASE), "--tree", str(tree), "--json", "-o", f"{folder}/fix.klp"],
                              capture_output=True, text=True, timeout=LIMIT, check=False)
        check(done.returncode == NOTHING_TO_DO, f"exit code {done.returncode}, {kind}, {names[:3]}:\n{done.stderr[-3000:]}\n"
              + "\n".join(line for line in done.stdout.splitlines() if '"decision":"changed"' in line)[:3000])
        report = json.loads(done.stdout)
        # Nothing had to be compiled when comments and white space are all there is.
        functions = report.get("functions", [])
        return [function for function in functions if function["decision"] != "unchanged"], report


def sample(names, count, seed):
    """The application's files, and others of which each reaches few units."""
    few = reach()
    apart = [name for name in names if few[name] <= FEW and not name.startswith("apps/")]
    own = [name for name in names if few[name] <= FEW and name.startswith("apps/")]
    return own + random.Random(seed).sample(apart, min(count, len(apart)))


def add_together(kind, names, least=1):
    @tests.add(f"{kind}: {len(names)} files at once")
    def _():
        changed, report = build(kind, names)
        check(not changed, f"called changed: {[function['readable'] for function in changed]}")
        if kind != "lines above":
            return
        check(len(report["edited"]) + len(report["neutral"]) == len(names), "not all files were seen to be edited: "
              f"{len(report['edited'])} edited, {len(report['neutral'])} neutral of {len(names)}")
        check(len(report["functions"]) >= least, f"only {len(report['functions'])} functions were compared")


def add_each(kind, names):
    for name in names:
        @tests.add(f"{kind}: {name}")
        def _(name=name):
            changed, _ = build(kind, [name])
            check(not changed, f"called changed: {[function['readable'] for function in changed]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    sys.argv = [sys.argv[0], *options.words]
    names = edited_files()
    for kind in KINDS:
        if options.each:
            add_each(kind, names)
        elif options.sample is not None and kind == "lines above":
            print(f"# seed {options.seed}", flush=True)
            add_together(kind, sample(names, options.sample, options.seed))
        else:
            add_together(kind, names, least=500)
    tests.run()


if __name__ == "__main__":
    main()
