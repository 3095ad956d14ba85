#!/usr/bin/env python3
"""What the comparison library finds in pairs of small files, compiled and linked as the image is.

usage: differ_test.py COMPARE IMAGETABLES LD FLAGS... -- CXX FLAGS... -- CC FLAGS... [-- CASE...]
Each folder of tests/differ/cases is a case: sources that differ by `#ifdef PATCHED`, and `expect`, one expectation a line:
  nothing                 no patch is made, and nothing refused
  changed|new|removed F   exactly these functions are, by demangled name; "F|G" means either
  data D                  exactly this data is new
  refused CODE SUBJECT    exactly these refusals; the subject begins so
  warning CODE TEXT       such a warning, with this in its text
  guess TEXT              exactly these guesses, with this in their text
  reference R             the patch refers to this in the image; noreference R: it doesn't
  constructors N          the patch's .init_array has N entries
  aligned N               some data section of the patch has this alignment
When something is refused, only refusals have to be exact.
A file added.* exists in the patched tree only, not_reached.* isn't part of the request, first.* is linked before all
others. All cases are one image.
"""
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

CASES = Path("tests/differ/cases")
WORK = Path("build/differ-test")
DAMAGED, SEED = 200, 1
COUNTED = ("changed", "new", "removed", "data", "refused", "guess")


def run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(str(word) for word in command)}\n{done.stderr}")
    return done.stdout


class Image:
    """The cases' files as one image, and the patched object of each."""

    def __init__(self, linker, cxx, cc, imagetables):
        self.linker, self.cxx, self.cc, self.imagetables = linker, cxx, cc, imagetables
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir(parents=True)
        self.elf, self.map = WORK / "image.elf", WORK / "map"
        sources = sorted(path for path in CASES.glob("*/*.c*"))
        self.linked = [path for path in sources if not path.name.startswith("added.")]
        self.linked.sort(key=lambda path: not path.name.startswith("first."))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda job: self.compile(*job), [(path, False) for path in self.linked] +
                          [(path, True) for path in sources if not path.name.startswith("not_reached.")]))
        self.link()

    @staticmethod
    def object(source, patched):
        return WORK / f"{source.parent.name}.{source.name}{'.patched' if patched else ''}.o"

    def compile(self, source, patched):
        compiler = self.cc if source.suffix == ".c" else self.cxx
        run([*compiler, "-Wno-error", "-w", *(["-DPATCHED"] if patched else []), "-c", source, "-o", self.object(source, patched)])

    def link(self):
        roots = sorted(set(re.findall(r"\broot_\w+", " ".join(path.read_text() for path in self.linked))))
        start = WORK / "start.c"
        start.write_text("".join(f"void {root}(void);\n" for root in roots) + "void graft_start_multiboot2(void) {\n" +
                         "".join(f"    {root}();\n" for root in roots) + "}\n")
        support = WORK / "support.c"
        support.write_text(SUPPORT)
        for source in (start, support):
            run([*self.cc, "-w", "-c", source, "-o", source.with_suffix(".o")])
        objects = [WORK / "start.o", WORK / "support.o", *(self.object(path, False) for path in self.linked)]
        first, tables = WORK / "first.elf", WORK / "tables"
        self.tables(tables, None)
        run([*self.linker, "--build-id=sha1", *objects, tables.with_suffix(".o"), "-o", first])
        run([self.imagetables, "write", first, tables.with_suffix(".bin")])
        self.tables(tables, tables.with_suffix(".bin"))
        build_id = run([self.imagetables, "build-id", first]).strip()
        run([*self.linker, f"--build-id=0x{build_id}", f"-Map={self.map}", *objects, tables.with_suffix(".o"), "-o", self.elf])

    def tables(self, base, content):
        define = [f'-DGRAFT_TABLES="{content}"'] if content else []
        run([self.cc[0], "-Wa,--noexecstack", *define, "-c", "mk/image_tables.S", "-o", base.with_suffix(".o")])


SUPPORT = """
long sink(long value) { return value; }
#define SAME(name) long name(long value) { return value; }
SAME(take) SAME(call) SAME(hold) SAME(keep) SAME(remember) SAME(look) SAME(keep_ops)
int __cxa_guard_acquire(long* guard) { return *guard == 0; }
void __cxa_guard_release(long* guard) { *guard = 1; }
int __cxa_atexit(void (*f)(void*), void* object, void* handle) { return 0; }
void* __dso_handle;
void __cxa_pure_virtual(void) {}
void _ZdlPvm(void* object, unsigned long size) {}
void* memcpy(void* to, const void* from, unsigned long size) { return to; }
void* memset(void* to, int value, unsigned long size) { return to; }
"""


def units(image, case, patched=True):
    """What compare is told about a case's files: source, name in the map, baseline, patched."""
    words = []
    for source in sorted(path for path in case.glob("*.c*") if not path.name.startswith("not_reached.")):
        base = "-" if source.name.startswith("added.") else image.object(source, False)
        words += [source, base, base, image.object(source, True) if patched else base]
    return words


def compare(program, image, case, output, patched=True):
    done = subprocess.run([program, image.elf, image.map, output, *map(str, units(image, case, patched))],
                          capture_output=True, text=True)
    if done.returncode not in (0, 1, 2, 3) or not done.stdout:
        return done.returncode, {"error": f"exit {done.returncode}: {done.stderr[-3000:]}"}
    return done.returncode, json.loads(done.stdout)


def found_in(result, patch):
    """The result as (kind, text) lines like those of `expect`."""
    lines = [(one["kind"], one["function"]) for one in result["decisions"] if one["kind"] != "unchanged"]
    lines += [("data", one["text"]) for one in result["data"]]
    lines += [("refused", f"{one['code']} {one['subject']}") for one in result["refusals"]]
    lines += [("warning", f"{one['code']} {one['text']}") for one in result["warnings"]]
    lines += [("guess", one["text"]) for one in result["guesses"]]
    lines += [("reference", one["text"]) for one in result["references"]]
    if patch.stat().st_size != 0:
        for line in run(["readelf", "-SW", patch]).splitlines():
            fields = re.match(r"\s*\[ *\d+\] (\S+)\s+(\S+)\s+\S+ \S+ (\S+) .* (\d+)$", line)
            if fields and fields[2] == "INIT_ARRAY":
                lines.append(("constructors", str(int(fields[3], 16) // 8)))
            if fields and fields[1].startswith((".data", ".bss")):
                lines.append(("aligned", fields[4]))
    return lines


def meets(kind, wanted, text):
    if kind in ("warning", "guess"):
        code, _, rest = wanted.partition(" ") if kind == "warning" else ("", "", wanted)
        return text.startswith(code) and rest in text
    if kind == "refused":
        return text.startswith(wanted)
    return text in wanted.split("|")


def complaints(expected, code, result, patch):
    if "error" in result:
        return [f"error: {result['error']}"]
    found = found_in(result, patch)
    said = []
    want_code = 1 if any(kind == "refused" for kind, _ in expected) else 3 if ("nothing", "") in expected else 0
    if code != want_code:
        said.append(f"exit code {code} instead of {want_code}")
    counted = COUNTED if want_code != 1 else ("refused",)
    left = [line for line in found if line[0] in counted]
    for kind, wanted in expected:
        if kind == "nothing":
            continue
        if kind == "noreference":
            if ("reference", wanted) in found:
                said.append(f"unexpected reference {wanted}")
            continue
        match = next((line for line in (left if kind in counted else found) if line[0] == kind and meets(kind, wanted, line[1])), None)
        if not match:
            said.append(f"missing: {kind} {wanted}")
        elif kind in counted:
            left.remove(match)
    return said + [f"unexpected: {kind} {text}" for kind, text in left]


def read_expectations(case):
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in (case / "expect").read_text().splitlines() if line]


def split(words):
    parts = [[]]
    for word in words:
        if word == "--":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


class Report:
    def __init__(self):
        self.number = self.failed = 0

    def test(self, name, said, result=None):
        self.number += 1
        self.failed += bool(said)
        print(f"{'not ok' if said else 'ok'} {self.number} - {name}", flush=True)
        for line in said:
            print(f"#   {line}")
        if said and result and "error" not in result:
            for line in found_in_text(result):
                print(f"#     {line}")


def found_in_text(result):
    for one in result["decisions"]:
        yield f"{one['kind']} {one['function']}: {one['reason']}"
    for name in ("refusals", "warnings", "guesses"):
        for one in result[name]:
            yield f"{name}: {one['code']} {one['text']}"
    yield "references: " + ", ".join(one["text"] for one in result["references"])


def wrong_baselines(program, image, report):
    """A baseline that isn't what the image was linked from is an error that names the object."""
    source = CASES / "string_changed" / "a.cpp"
    baseline, patched = image.object(source, False), image.object(source, True)
    other = image.object(CASES / "strings" / "a.cpp", False)
    tries = (("other code", [source, baseline, patched, patched], "another object than the baseline's"),
             ("other sections", [source, baseline, other, patched], "isn't there"),
             ("not linked", [source, "nowhere.o", baseline, patched], "nowhere.o isn't part of the image"),
             ("no such file", [source, baseline, "nowhere.o", patched], "nowhere.o: No such file"))
    for name, unit, wanted in tries:
        done = subprocess.run([program, image.elf, image.map, WORK / "wrong.klp", *map(str, unit)], capture_output=True, text=True)
        said = [] if done.returncode == 2 and wanted in done.stdout else [f"exit {done.returncode}: {done.stdout}{done.stderr}"]
        report.test(f"wrong baseline: {name}", said)


def damaged(data, random):
    """The object with a few bytes changed, somewhere or in one of its tables, or cut off."""
    data = bytearray(data)
    if random.random() < 0.1:
        return data[:random.randrange(len(data))]
    sections = int.from_bytes(data[0x28:0x30], "little")
    count = int.from_bytes(data[0x3c:0x3e], "little")
    begin, end = 0, len(data)
    if random.random() < 0.8:  # headers and small tables would else hardly ever be hit
        header = sections + 64 * random.randrange(count)
        begin = int.from_bytes(data[header + 24:header + 32], "little")
        end = begin + int.from_bytes(data[header + 32:header + 40], "little")
        if random.random() < 0.3 or not begin < end <= len(data):
            begin, end = header, header + 64
    for _ in range(random.choice((1, 1, 2, 8))):
        data[random.randrange(begin, min(end, len(data)))] = random.choice((0, 1, 0x7f, 0x80, 0xff, random.randrange(256)))
    return data


def hostile(program, image, report):
    """Damaged objects on either side are read without harm: every run ends by itself with a known exit code."""
    random = Random(SEED)
    names = ("jump_table", "static_locals", "vtable", "lambdas", "guarded_static", "new_constructor")
    sources = [source for name in names for source in sorted((CASES / name).glob("*.c*"))]
    jobs = []
    for number in range(DAMAGED):
        source = random.choice(sources)
        baseline, patched = image.object(source, False), image.object(source, True)
        victim = random.choice((baseline, patched))
        copy = WORK / f"damaged.{number}.o"
        copy.write_bytes(damaged(victim.read_bytes(), random))
        pair = [copy if victim is path else path for path in (baseline, patched)]
        jobs.append((copy, [program, image.elf, image.map, WORK / f"damaged.{number}.klp", source, baseline, *pair]))

    def attempt(job):
        copy, command = job
        try:
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace", timeout=60)
        except subprocess.TimeoutExpired:
            return copy, "didn't end"
        return copy, "" if done.returncode in (0, 1, 2, 3) and done.stdout.startswith("{") else done.stderr[-1500:]

    said, codes = [], 0
    with ThreadPoolExecutor(2) as pool:
        for copy, harm in pool.map(attempt, jobs):
            if harm:
                said += [f"{copy}: {line}" for line in harm.splitlines()[:12]]
            else:
                copy.unlink()
                codes += 1
    report.test(f"{DAMAGED} damaged objects", said or ([] if codes == DAMAGED else ["some weren't tried"]))


def main():
    tools, cxx, cc, *rest = split(sys.argv[1:])
    program, imagetables, *linker = tools
    image = Image(linker, cxx, cc, imagetables)
    chosen = rest[0] if rest else []
    cases = [case for case in sorted(CASES.iterdir()) if not chosen or case.name in chosen]
    report = Report()
    for case in cases:
        patch = WORK / f"{case.name}.klp"
        code, result = compare(program, image, case, patch)
        report.test(case.name, complaints(read_expectations(case), code, result, patch), result)
        again = WORK / f"{case.name}.again.klp"
        compare(program, image, case, again)
        if patch.exists() and patch.read_bytes() != again.read_bytes():
            report.test(f"{case.name}: the same bytes again", ["two runs differ"])
        code, result = compare(program, image, case, again, patched=False)
        changed = complaints([("nothing", "")], code, result, again)
        if changed:
            report.test(f"{case.name}: nothing to do against itself", changed, result)
    if not chosen:
        wrong_baselines(program, image, report)
        hostile(program, image, report)
    print(f"1..{report.number}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
