#!/usr/bin/env python3
"""What the compiler's flags are for holds in the finished objects, and each flag is still needed for it.

usage: flags_test.py COMPILER FLAGS... -- OBJECT...
First the given objects are searched for what must not be there. Then a sample that provokes each defect is compiled with
all flags (no defect may be found) and once without each of some flags (the defect must be found: the search works).
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SAMPLE = r"""
extern "C" int sink(int); extern "C" [[noreturn]] void dead(int);
static int __attribute__((noinline)) scaled(int value, int factor) { return sink(value * factor) + factor; }
struct Pair { int first; int second; };
static int __attribute__((noinline)) first_of(const Pair* pair) { return sink(pair->first) + 1; }
int constant_argument(int value) { return scaled(value, 3) + scaled(value + 1, 3); }
int by_pointer(int value) { Pair pair{value, 1}; return first_of(&pair) + 1; }
int tail_call(int value) { return sink(value + 1); }
int split(int value) { if (__builtin_expect(value == 7, 0)) { sink(1); sink(2); dead(value); } return value + 1; }
inline int counted() { static int count; return ++count; }
int use_counted() { return counted() + sink(1); }
"""

PART = re.compile(r"\.(cold|part\.\d+|constprop\.\d+|isra\.\d+)")
SITE = "0f 1f 44 00 00"


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def defects(path):
    """What must not be in an object, as a set of (kind, where)."""
    found = set()
    permanent = "/permanent/" in path
    assembly = path.endswith(".S.o")
    functions = set()
    for line in run("readelf", "-sW", path).splitlines():
        fields = line.split()
        if len(fields) < 8 or not fields[0].rstrip(":").isdigit():
            continue
        kind, binding, name = fields[3], fields[4], fields[7]
        if binding == "UNIQUE":
            found.add(("unique", name))
        if kind == "FUNC" and PART.search(name):
            found.add(("part", name))
        if kind == "FUNC" and fields[6] != "UND":
            functions.add(name)
    if assembly:
        return found
    function, first = "", False
    for line in run("objdump", "-drw", path).splitlines():
        header = re.match(r"^[0-9a-f]+ <(.+)>:$", line)
        if header:
            function, first = header.group(1), True
            continue
        if "\tendbr64" in line:
            found.add(("endbr64", function))
        if not re.match(r"^\s+[0-9a-f]+:\t", line):
            continue
        relocation = re.search(r"R_X86_64_(PLT32|PC32)\s+(\S+)", line)
        mnemonic = re.search(r"\t(j[a-z]+)\s", line)
        thunk = re.match(r"_ZT[hvc]", function)  # jumps to its target's call site; needs none of its own
        if mnemonic and relocation and not thunk:
            found.add(("tail call", function))
        if first and function in functions and not permanent and not thunk and SITE not in line:
            found.add(("no site", function))
        first = False
    return found


class Report:
    def __init__(self):
        self.number, self.failed = 0, 0

    def result(self, good, name, details=()):
        self.number += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}")
        for detail in details:
            print(f"# {detail}")


def compiled(compiler, flags, folder):
    source, out = Path(folder, "sample.cpp"), Path(folder, "sample.o")
    source.write_text(SAMPLE, encoding="utf-8")
    run(compiler, *flags, "-Wno-error", "-w", "-c", str(source), "-o", str(out))
    return {kind for kind, _ in defects(str(out))}


def main():
    split = sys.argv.index("--")
    compiler, flags, objects = sys.argv[1], sys.argv[2:split], sys.argv[split + 1:]
    report = Report()
    found = [(kind, name, path) for path in objects for kind, name in sorted(defects(path))]
    report.result(bool(objects) and not found, f"{len(objects)} objects of the image are as live patching needs them",
                  [f"{path}: {kind}: {name}" for kind, name, path in found])
    needed = {
        "tail call": ["-fno-optimize-sibling-calls"],
        "part": ["-fno-reorder-blocks-and-partition", "-fno-ipa-cp", "-fno-ipa-sra", "-fno-partial-inlining"],
        "unique": ["-fno-gnu-unique"],
        "no site": ["-mfentry", "-mnop-mcount", "-pg"],
        "endbr64": ["-fcf-protection=none"],
    }
    with tempfile.TemporaryDirectory() as folder:
        report.result(not compiled(compiler, flags, folder), "the sample is clean with all flags")
        for kind, without in needed.items():
            fewer = [flag for flag in flags if flag not in without]
            if kind == "endbr64":
                fewer.append("-fcf-protection=branch")
            report.result(kind in compiled(compiler, fewer, folder), f"without {' '.join(without)}: {kind} is found")
    print(f"1..{report.number}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
