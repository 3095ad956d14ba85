#!/usr/bin/env python3
"""`graft build` over edits that change no code: no function may be called changed, whatever file they are in.

usage: neutral_test.py [--each] [WORD...]     only the tests whose names have one of the words
Each source and header that the image was made of is edited: comments only, white space only, and declared lines put above
everything else, so that all that follows moves. One build for each kind of edit over the whole tree, which is what
`make test` runs; --each makes a build for each file and kind, and takes about an hour.
"""
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qemu"))
from harness import BUILD, GRAFT, NOTHING_TO_DO, Tests, check  # noqa: E402

BASE = BUILD / "demo"
SOURCES = BASE / "baseline/sources"
LIMIT = 1500  # seconds; a hang detector
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


def with_lines_above(name, text):
    """Declarations behind the last include (outside #if), so that each following line moves by three."""
    lines = text.splitlines()
    if name.endswith(".S") or name in ASSEMBLED:
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


def edited_files():
    """All that some unit is made from: of a package's headers, most are in no unit."""
    made_from = {line.split("\t")[1].strip() for line in (BASE / "baseline/record").read_text(encoding="utf-8").splitlines()
                 if line.startswith("from\t")}
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


def add_tests(each):
    names = edited_files()
    for kind in KINDS:
        if not each:
            @tests.add(f"{kind}: {len(names)} files at once")
            def _(kind=kind):
                changed, report = build(kind, names)
                check(not changed, f"called changed: {[function['readable'] for function in changed]}")
                if kind == "lines above":
                    check(len(report["edited"]) + len(report["neutral"]) == len(names), "not all files were seen to be edited: "
                          f"{len(report['edited'])} edited, {len(report['neutral'])} neutral of {len(names)}")
                    check(len(report["functions"]) > 500, f"only {len(report['functions'])} functions were compared")
            continue
        for name in names:
            @tests.add(f"{kind}: {name}")
            def _(kind=kind, name=name):
                changed, _ = build(kind, [name])
                check(not changed, f"called changed: {[function['readable'] for function in changed]}")


if __name__ == "__main__":
    each = "--each" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--each"]
    add_tests(each)
    tests.run()
