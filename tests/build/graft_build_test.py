#!/usr/bin/env python3
"""`graft build` from the outside: what it makes of diffs and trees, what it refuses, and that it leaves nothing behind.

usage: graft_build_test.py [WORD...]     only the tests whose names have one of the words
Works on build/demo and on copies of its baseline; nothing of the tree is written.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qemu"))
from harness import BUILD, DONE, GRAFT, KEY, NOTHING_TO_DO, REFUSED, ROOT, TIMED_OUT, USAGE, Tests, check  # noqa: E402

BASE = BUILD / "demo"
SOURCES = BASE / "baseline/sources"
LIMIT = 300  # seconds; a hang detector
INVOICE = "apps/demo/invoice.cpp"
tests = Tests()
WORK = Path(tempfile.mkdtemp(prefix="graft-build-test."))


def source(name=INVOICE):
    return (SOURCES / name).read_text(encoding="utf-8")


def diff_of(changes, context=3):
    """A unified diff of {name: new text or None}, as git writes it."""
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        for name, text in changes.items():
            for side, content in (("a", source(name) if (SOURCES / name).exists() else None), ("b", text)):
                if content is not None:
                    path = Path(folder, side, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(content, encoding="utf-8", newline="")
        for side in "ab":
            Path(folder, side).mkdir(exist_ok=True)
        return subprocess.run(["git", "diff", "--no-index", f"-U{context}", "a", "b"], cwd=folder, capture_output=True, text=True,
                              check=False).stdout.replace("a/a/", "a/").replace("b/b/", "b/")


def write(name, text):
    path = WORK / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


class Run:
    """One run of `graft build` with a TMPDIR and a folder for the output of its own."""

    def __init__(self, *arguments, base=BASE, code=DONE, cwd=ROOT, output="fix.klp"):
        self.folder = Path(tempfile.mkdtemp(dir=WORK))
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()
        self.output = self.folder / output
        self.command = [str(GRAFT), "build", "--base", str(base), "-o", str(self.output), *map(str, arguments)]
        self.environment = {**os.environ, "TMPDIR": str(self.temporary)}
        if code is None:
            return
        process = subprocess.run(self.command, env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=LIMIT,
                                 check=False)
        self.text, self.errors = process.stdout, process.stderr
        shown = f"{' '.join(self.command[1:])}: exit code {process.returncode}\n{self.text}{self.errors}"
        check(process.returncode == code, f"expected exit code {code} of {shown}")
        check(self.output.exists() == (code == DONE), f"a patch is there if and only if it was built: {shown}")
        check(len(self.errors.splitlines()) <= 60, f"more than a screen: {shown}")
        self.check_clean()

    def check_clean(self):
        left = [path for path in self.folder.rglob("*") if path not in (self.temporary, self.output)]
        check(not left, f"left behind: {left}")

    def says(self, *patterns):
        for pattern in patterns:
            check(re.search(pattern, self.text + self.errors), f"'{pattern}' is not in:\n{self.text}{self.errors}")
        return self

    def decisions(self):
        return {function["readable"]: function["decision"] for function in json.loads(self.text)["functions"]}


def copied_base(edit=None):
    """A copy of the build folder that may be damaged: links, but for what edit(baseline folder) writes anew."""
    folder = Path(tempfile.mkdtemp(dir=WORK)) / "demo"
    shutil.copytree(BASE / "baseline", folder / "baseline", copy_function=os.link)
    if edit:
        edit(folder / "baseline")
    return folder


def rewrite(path, change):
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(change(content))


ROUNDED = source().replace("* (100 + kTaxPercent) / 100;\n}\n\n[[", "* (100 + kTaxPercent);\n}\n\n[[").replace(
    "return sum;\n}\n\n[[", "return (sum + 50) / 100;\n}\n\n[[")
FIX = write("fix.diff", diff_of({INVOICE: ROUNDED}))
CHANGED = {"demo::line_amount(demo::Item const&)", "demo::close_invoice(long)"}


def changed(run):
    return {name for name, decision in run.decisions().items() if decision == "changed"}


@tests.add("a diff becomes a patch of the functions it changes")
def _():
    run = Run(FIX, "--json")
    check(changed(run) == CHANGED, f"changed: {changed(run)}")
    report = json.loads(run.text)
    check(report["outcome"] == "built" and report["compiled"] == [INVOICE], run.text)
    shown = subprocess.run([str(GRAFT), "inspect", "--json", str(run.output)], capture_output=True, text=True, check=True)
    check(json.loads(shown.stdout)["name"] == "fix", shown.stdout)
    Run(FIX).says(r"changed: 2, new: 0, removed: 0, held: \d+, unchanged but recompiled: \d+", r"size: \d+ bytes")


@tests.add("the demo's repair is two functions, whose caller is held by itself")
def _():
    run = Run(ROOT / "apps/demo/patches/fix_total.diff", "--json")
    held = {name for name, decision in run.decisions().items() if decision == "held"}
    check(changed(run) == CHANGED and len(held) == 1 and "invoice_total" in held.pop(), str(run.decisions()))
    none = Run(ROOT / "apps/demo/patches/fix_total.diff", "--hold", "none", "--json")
    check("held" not in none.decisions().values(), str(none.decisions()))


@tests.add("--why names the first difference and writes nothing")
def _():
    run = Run(FIX, code=None)
    at = run.command.index("-o")
    del run.command[at:at + 2]
    for name in ("line_amount", "demo::line_amount", "_ZN4demo11line_amountERKNS_4ItemE"):
        process = subprocess.run([*run.command, "--why", name], env=run.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        check(process.returncode == DONE and re.search(r"first difference at apps/demo/invoice.cpp:\d+\n  - .+\n  \+ .+", process.stdout),
              process.stdout + process.stderr)
    process = subprocess.run([*run.command, "--why", "amount"], env=run.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    check(process.returncode == NOTHING_TO_DO, "part of a name is no name")
    run.check_clean()


@tests.add("the same diff gives the same bytes, from wherever")
def _():
    moved = copied_base()
    first, second = Run(FIX), Run(FIX, "--jobs", "1", base=moved, cwd="/")
    check(first.output.read_bytes() == second.output.read_bytes(), "two patches of one diff differ")


@tests.add("name, set, version and other texts are those asked for")
def _():
    run = Run(FIX, "--name", "rounding-2", "--set", "rounding", "--version", "2.0", "--fixes", "BUG-7", "--description", "cents")
    shown = subprocess.run([str(GRAFT), "inspect", "--json", str(run.output)], capture_output=True, text=True, check=True)
    meta = json.loads(shown.stdout)
    found = [meta[key] for key in ("name", "set", "version", "fixes", "description")]
    check(found == ["rounding-2", "rounding", "2.0", "BUG-7", "cents"], shown.stdout)


@tests.add("inspect --diff shows the changed instructions, and wants the image that the patch fits")
def _():
    run = Run(FIX)
    def inspect(*arguments):
        return subprocess.run([str(GRAFT), "inspect", str(run.output), *arguments], capture_output=True, text=True, check=False)

    shown = inspect("--diff", "--base", str(BASE))
    check(shown.returncode == DONE, shown.stderr)
    check(shown.stdout.count("\n@@ +0x") >= 2, shown.stdout)
    diffs = json.loads(inspect("--json", "--diff", "--base", str(BASE / "baseline/image.elf")).stdout or "{}")
    for diff in json.loads(inspect("--json", "--diff", "--base", str(BASE)).stdout)["diff"]:
        marks = {line[0] for line in diff["lines"]}
        check("-" in marks and "+" in marks, f"{diff['name']}: no difference shown")
    check(len(diffs.get("diff", [])) == len(CHANGED), f"by the image itself: {diffs}")
    check(inspect("--diff").returncode == USAGE, "--diff without --base")
    check(inspect("--diff", "--base", "/nowhere").returncode == REFUSED, "an image that isn't there")
    other = run.folder.parent / "other.elf"
    other.write_bytes((BASE / "baseline/image.elf").read_bytes().replace(bytes.fromhex(json.loads(inspect("--json").stdout)["build_id"]), bytes(20)))
    refused = inspect("--diff", "--base", str(other))
    check(refused.returncode == REFUSED and "made for build" in refused.stderr, refused.stderr)


STATEFUL = source().replace("namespace demo {\n", """namespace demo {

i64 opened_before;
static graft::i32 count_invoices(graft::u64) {
    opened_before = 1;
    return 0;
}
static void forget_invoices(graft::u64) {
    opened_before = 0;
}
GRAFT_STATE("invoices", .id = 0x1a, .version = 3, .pre_patch = count_invoices, .post_unpatch = forget_invoices);
""", 1).replace("i64 sum = 0;", "i64 sum = opened_before;")
STATEFUL = '#include "patch/author.h"\n' + STATEFUL


@tests.add("a diff may bring a state, and inspect shows it, with --diff too")
def _():
    run = Run(write("state.diff", diff_of({INVOICE: STATEFUL})), "--json")
    check({name for name, decision in run.decisions().items() if decision == "new"} ==
          {"demo::count_invoices(unsigned long)", "demo::forget_invoices(unsigned long)"}, str(run.decisions()))
    for arguments in ((), ("--diff", "--base", str(BASE))):
        shown = subprocess.run([str(GRAFT), "inspect", str(run.output), *arguments], capture_output=True, text=True, check=True).stdout
        check(re.search(r"\nstates\n  invoices \(0x1a\), version 3, \d+ ms a callback\n    pre_patch +demo::count_invoices\(unsigned long\)\n"
                        r"    post_unpatch +demo::forget_invoices\(unsigned long\)\n", shown), shown)
        as_json = json.loads(subprocess.run([str(GRAFT), "inspect", "--json", str(run.output), *arguments], capture_output=True,
                                            text=True, check=True).stdout)
        found = [(state["name"], state["id"], state["version"], "pre_patch" in state, "post_patch" in state) for state in as_json["states"]]
        check(found == [("invoices", 0x1a, 3, True, False)], str(found))
        check(("diff" in as_json) == bool(arguments), "the instructions are shown without --diff, or not with it")


@tests.add("comments and white space are nothing to change, and compile nothing")
def _():
    text = "// A comment.\n\n" + source().replace("    i64 sum = 0;", "    i64  sum = 0;  // so far")
    Run(write("comment.diff", diff_of({INVOICE: text})), code=NOTHING_TO_DO).says("comments and white space only")


@tests.add("a line added above changes no function, though it is compiled")
def _():
    name = "kernel/log.cpp"
    check("GRAFT_ASSERT" in source(name) or "__LINE__" in source("base/assert.h"), "nothing here depends on line numbers")
    text = re.sub(r"\n(?=namespace graft)", "\nstatic_assert(sizeof(int) == 4);\n", source(name), count=1)
    Run(write("above.diff", diff_of({name: text})), code=NOTHING_TO_DO).says(r"nothing to change: 1 file recompiled, \d+ functions unchanged")


@tests.add("a missing object of the baseline is named")
def _():
    def lose(baseline):
        (baseline / "objects/build/image" / (INVOICE + ".o")).unlink()
    Run(FIX, base=copied_base(lose), code=REFUSED).says(r"the object build/image/apps/demo/invoice.cpp.o is missing", "make the image again")

    def rename(baseline):
        path = baseline / "objects/build/image" / (INVOICE + ".o")
        path.rename(path.with_suffix(".old"))
    Run(FIX, base=copied_base(rename), code=REFUSED).says(r"the object build/image/apps/demo/invoice.cpp.o is missing")


@tests.add("an object that doesn't come out again is named")
def _():
    def damage(baseline):
        rewrite(baseline / "objects/build/image" / (INVOICE + ".o"), lambda content: content[:-1] + bytes([content[-1] ^ 1]))
    Run(FIX, base=copied_base(damage), code=REFUSED).says("doesn't give its objects", r"build/image/apps/demo/invoice.cpp.o")

    def edit(baseline):
        rewrite(baseline / "sources" / INVOICE, lambda content: content.replace(b"net_cents", b"count", 1))
    Run(FIX, base=copied_base(edit), code=REFUSED)


@tests.add("another compiler, or none, is refused")
def _():
    def other(baseline):
        rewrite(baseline / "record", lambda content: re.sub(rb"(compiler\tg\+\+\t\S+\t)[^\n]*", rb"\1g++ 11.1", content))
    Run(FIX, base=copied_base(other), code=REFUSED).says("another compiler", "expected 'g\\+\\+ 11.1'")

    def gone(baseline):
        rewrite(baseline / "record", lambda content: re.sub(rb"(compiler\tg\+\+\t)\S+", rb"\1/no/such/compiler", content))
    Run(FIX, base=copied_base(gone), code=REFUSED).says("/no/such/compiler: the compiler that made")


@tests.add("a damaged record, and a folder that is none, are refused")
def _():
    def cut(baseline):
        rewrite(baseline / "record", lambda content: content.replace(b"unit\t", b"unix\t", 1))
    Run(FIX, base=copied_base(cut), code=REFUSED).says(r"record:\d+: damaged")
    Run(FIX, base=WORK, code=REFUSED).says("not the build folder of an image")
    Run(FIX, base=WORK / "nothing", code=REFUSED).says("no such folder")


@tests.add("a diff that doesn't apply is refused with its place, without fuzz")
def _():
    text = FIX.read_text(encoding="utf-8").replace(" [[gnu::noinline]] i64 line_amount", " [[gnu::noinline]] i64 other_amount")
    Run(write("wrong.diff", text), code=REFUSED).says("wrong.diff: doesn't apply", r"apps/demo/invoice.cpp:\d+")
    Run(write("cut.diff", "\n".join(FIX.read_text(encoding="utf-8").splitlines()[:8]) + "\n"), code=REFUSED).says("ends too early")
    Run(write("no.diff", "hello\n"), code=REFUSED).says("holds no unified diff")
    Run(WORK / "missing.diff", code=REFUSED).says("missing.diff: cannot be read")
    Run(write("ghost.diff", "--- a/kernel/ghost.cpp\n+++ b/kernel/ghost.cpp\n@@ -1 +1 @@\n-a\n+b\n"), code=REFUSED).says("kernel/ghost.cpp")


@tests.add("a hunk that lies elsewhere is applied, and said")
def _():
    moved = re.sub(r"@@ -(\d+),(\d+) \+(\d+),", lambda match: f"@@ -{int(match[1]) + 9},{match[2]} +{int(match[3]) + 9},",
                   FIX.read_text(encoding="utf-8"))
    run = Run(write("moved.diff", moved)).says(r"note: \S*moved.diff: apps/demo/invoice.cpp: hunk 1 fits \d+ lines further up")
    check(run.output.stat().st_size > 0, "nothing in it")


@tests.add("files outside of the image are left out, and refused when there is nothing else")
def _():
    outside = "--- a/docs/guide.md\n+++ b/docs/guide.md\n@@ -1 +1 @@\n-# Guide\n+# The guide\n"
    Run(write("outside.diff", outside), code=REFUSED).says("no file of it is part of the image", "docs/guide.md")
    Run(write("mixed.diff", outside + FIX.read_text(encoding="utf-8"))).says("left out: docs/guide.md")
    Run(write("stray.diff", outside.replace("docs/guide.md", "kernel/../../../etc/x.h")), code=REFUSED)
    Run(write("make.diff", outside.replace("docs/guide.md", "mk/flags.mk")), code=REFUSED).says("how the image is compiled")
    Run(write("link.diff", outside.replace("docs/guide.md", "linker.ld")), code=REFUSED).says("how the image is compiled")


@tests.add("a compiler's error is shown with the author's lines")
def _():
    text = source().replace("namespace demo {\n", "namespace demo {\n\nstatic_assert(true);\nstatic_assert(true);\n", 1)
    text = text.replace("    i64 sum = 0;", "    i64 sum = nonsense;")
    line = text[:text.index("nonsense")].count("\n") + 1
    Run(write("error.diff", diff_of({INVOICE: text})), code=REFUSED).says(
        "don't compile: apps/demo/invoice.cpp", rf"(?m)^apps/demo/invoice.cpp:{line}:\d+: error: .*nonsense")
    header = source("apps/demo/invoice.h").replace("i64 line_amount", "i64 line_amount = ", 1)
    Run(write("header.diff", diff_of({"apps/demo/invoice.h": header})), code=REFUSED).says(r"apps/demo/invoice.h:\d+:\d+: error")
    unused = source().replace("    i64 sum = 0;", "    i64 sum = 0;\n    int unused;")
    Run(write("unused.diff", diff_of({INVOICE: unused})), code=REFUSED).says("unused")


@tests.add("a function that nobody declared is an error in C, too, in the compiler's own words")
def _():
    name = fetched("verify.c")
    text = source(name).replace("d |= x[i] ^ y[i];", "d |= x[i] ^ graft_undeclared(y[i]);")
    line = text[:text.index("graft_undeclared")].count("\n") + 1
    Run(write("implicit.diff", diff_of({name: text})), code=REFUSED).says(
        rf"{re.escape(name)}:{line}:\d+: error: implicit declaration of function .graft_undeclared.")


@tests.add("a macro that #if takes for 0 is named")
def _():
    text = source().replace("namespace demo {\n", "#if GRAFT_NOT_DEFINED\n#endif\nnamespace demo {\n", 1)
    Run(write("undef.diff", diff_of({INVOICE: text})), code=NOTHING_TO_DO).says("warning: .*GRAFT_NOT_DEFINED")


@tests.add("line ends don't count")
def _():
    crlf = write("crlf.diff", FIX.read_text(encoding="utf-8").replace("\n", "\r\n"))
    plain = Run(FIX).output.read_bytes()
    check(Run(crlf).output.read_bytes() != b"", "nothing")

    def returns(baseline):
        rewrite(baseline / "sources" / INVOICE, lambda content: content.replace(b"\n", b"\r\n"))
    base = copied_base(returns)
    for diff in (FIX, crlf):
        run = Run(diff, "--name", "fix", base=base)
        check(run.output.read_bytes() == plain, "another patch than with plain line ends")


@tests.add("a diff that is in the baseline already is nothing to do")
def _():
    def apply(baseline):
        rewrite(baseline / "sources" / INVOICE, lambda _: ROUNDED.encode())
    Run(FIX, base=copied_base(apply), code=NOTHING_TO_DO).says("in the baseline .* already")
    Run(FIX, FIX).says("fix.diff: in the baseline already")


@tests.add("several diffs build on each other")
def _():
    further = ROUNDED.replace("(sum + 50) / 100", "(sum + 50) / 100 + 0 * sum + 1")
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        for side, text in (("a", ROUNDED), ("b", further)):
            path = Path(folder, side, INVOICE)
            path.parent.mkdir(parents=True)
            path.write_text(text, encoding="utf-8")
        second = subprocess.run(["git", "diff", "--no-index", "a", "b"], cwd=folder, capture_output=True, text=True, check=False).stdout
    path = write("second.diff", second.replace("a/a/", "a/").replace("b/b/", "b/"))
    together = Run(write("both.diff", diff_of({INVOICE: further})), "--name", "fix").output.read_bytes()
    check(Run(FIX, path).output.read_bytes() == together, "not the same as both in one")
    Run(path, code=REFUSED).says("doesn't apply")
    back = write("back.diff", diff_of({INVOICE: ROUNDED}).replace("\n-", "\n!").replace("\n+", "\n-").replace("\n!", "\n+")
                 .replace("\n+-- a", "\n--- a").replace("\n-++ b", "\n+++ b"))
    Run(FIX, back, code=NOTHING_TO_DO)


def edited_tree(changes, removed=()):
    tree = Path(tempfile.mkdtemp(dir=WORK)) / "tree"
    shutil.copytree(SOURCES, tree)
    for name, text in changes.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")
    for name in removed:
        (tree / name).unlink()
    return tree


@tests.add("the edits of a tree are a diff, and the tree stays as it is")
def _():
    tree = edited_tree({INVOICE: ROUNDED})
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    expected = Run(FIX).output.read_bytes()
    check(Run("--tree", tree).output.read_bytes() == expected, "another patch than from the diff")

    def root_is_tree(baseline):  # the tree that the image was made from
        root = re.search(rb"^root\t(.*)$", (baseline / "record").read_bytes(), re.M)[1]
        rewrite(baseline / "record", lambda content: content.replace(root, os.fsencode(tree)))
    # That tree has no development key to sign with.
    check(Run("--key", KEY, base=copied_base(root_is_tree)).output.read_bytes() == expected, "another patch than from the diff")
    check(before == {path: path.stat().st_mtime_ns for path in tree.rglob("*")}, "the tree was touched")
    Run("--tree", edited_tree({}), code=NOTHING_TO_DO).says("the sources are those")
    Run("--tree", WORK / "nothing", code=REFUSED).says("no such folder")
    Run("--tree", tempfile.mkdtemp(dir=WORK), code=REFUSED).says("holds none of the sources")


HELPER = '#include "base/types.h"\n\nnamespace demo {\n\n[[gnu::noinline]] graft::i64 rounded(graft::i64 sum) {\n    return (sum + 50) / 100;\n}\n\n}  // namespace demo\n'


def with_helper():
    text = source().replace("namespace demo {\n", "namespace demo {\n\ni64 rounded(i64 sum);\n", 1)
    return text.replace("    return sum;\n}\n\n[[", "    return rounded(sum);\n}\n\n[[", 1)


@tests.add("a new source is compiled like its neighbours")
def _():
    run = Run(write("new.diff", diff_of({INVOICE: with_helper(), "apps/demo/rounding.cpp": HELPER})), "--json")
    check(run.decisions().get("demo::rounded(long)") == "new", str(run.decisions()))
    tree = Run("--tree", edited_tree({INVOICE: with_helper(), "apps/demo/rounding.cpp": HELPER}), "--json")
    check(tree.output.read_bytes() == run.output.read_bytes(), "another patch from the tree than from the diff")
    Run(write("strange.diff", diff_of({"apps/other/x.cpp": HELPER})), code=REFUSED).says("apps/other/x.cpp")


def fetched(name):
    return next(str(path.relative_to(SOURCES)) for path in SOURCES.glob("build-sources/*") for path in path.rglob(name))


@tests.add("a fetched package is patched like the rest, by diff and by tree")
def _():
    name = fetched("verify.c")
    text = source(name).replace("d |= x[i] ^ y[i];", "d |= (x[i] ^ y[i]) & 0x7f;")
    run = Run(write("verify.diff", diff_of({name: text})), "--json")
    check(changed(run) == {"crypto_verify_32"}, f"changed: {changed(run)}")
    tree = Path(tempfile.mkdtemp(dir=WORK)) / "tree"
    shutil.copytree(SOURCES, tree)
    (tree / name).write_text(text, encoding="utf-8")
    check(changed(Run("--tree", tree, "--json")) == changed(run), "the tree's edit is another one")


@tests.add("a fetched package's header reaches whoever includes it, and its errors have the author's place")
def _():
    name = fetched("crypto_verify_32.h")
    run = Run(write("header.diff", diff_of({name: source(name) + "int graft_nothing(void);\n"})), "--json", code=NOTHING_TO_DO)
    compiled = json.loads(run.text)["compiled"]
    check(any(one.endswith("verify.c") for one in compiled), f"compiled: {compiled}")
    Run(write("broken.diff", diff_of({name: source(name) + "int graft nothing;\n"})), code=REFUSED).says(
        r"don't compile", f"^/?[^ ]*{re.escape(name)}:|\n/?[^ ]*{re.escape(name)}:")


@tests.add("a tree without the fetched packages has not edited them")
def _():
    tree = Path(tempfile.mkdtemp(dir=WORK)) / "tree"
    shutil.copytree(SOURCES, tree)
    shutil.rmtree(tree / "build-sources")
    Run("--tree", tree, code=NOTHING_TO_DO)


@tests.add("a removed source says what is removed")
def _():
    run = Run(write("removed.diff", diff_of({"apps/demo/invoice.cpp": None, "apps/demo/till.cpp": source("apps/demo/till.cpp") + "\nint demo_extra() {\n    return 1;\n}\n"})), "--json",
              code=NOTHING_TO_DO)
    check(run.decisions()["demo::line_amount(demo::Item const&)"] == "removed", str(run.decisions()))


@tests.add("a renamed source changes nothing")
def _():
    text = f"diff --git a/{INVOICE} b/apps/demo/bill.cpp\nsimilarity index 100%\nrename from {INVOICE}\nrename to apps/demo/bill.cpp\n"
    run = Run(write("renamed.diff", text), "--json", code=NOTHING_TO_DO)
    check(set(run.decisions().values()) == {"unchanged"}, str(run.decisions()))


def processes_of(folder):
    """Processes that work in the folder or know it from their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (entry / "environ").read_bytes() and entry.name != str(os.getpid()):
                found.append((entry.name, (entry / "cmdline").read_bytes()))
        except OSError:
            pass
    return found


@tests.add("an interrupted run leaves nothing, whenever it is interrupted")
def _():
    whole = Run(FIX, code=None)
    began = time.monotonic()
    subprocess.run(whole.command, env=whole.environment, cwd=ROOT, check=True, capture_output=True)
    took = time.monotonic() - began
    stopped = 0
    for step, number in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT) * 4):
        run = Run(FIX, code=None)
        with subprocess.Popen(run.command, env=run.environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(took * step / 15)
            process.send_signal(number)
            _, errors = process.communicate(timeout=LIMIT)
        if process.returncode == DONE:
            continue
        # Before main() has run, a signal ends the process by itself.
        check(process.returncode in (REFUSED, -number), f"exit code {process.returncode}: {errors}")
        stopped += process.returncode == REFUSED
        check(process.returncode != REFUSED or f"stopped by signal {int(number)}" in errors, errors)
        # A signal that comes once the patch is there finds a finished build: the patch is whole, and the process ends by it.
        finished = process.returncode == -number and run.output.exists()
        check(not finished or run.output.read_bytes() == whole.output.read_bytes(), "half a patch")
        check(finished or not run.output.exists(), "a patch, though interrupted")
        run.check_clean()
        check(not processes_of(run.temporary), f"still running: {processes_of(run.temporary)}")
    check(stopped >= 5, f"only {stopped} runs were interrupted while they worked")


def sent_midway(run, number):
    """A run that got the signal `number` as soon as it had a scratch folder."""
    before = set(run.temporary.iterdir())
    process = subprocess.Popen(run.command, env=run.environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + LIMIT
    while not any((folder / "lock").exists() for folder in set(run.temporary.iterdir()) - before):
        check(time.monotonic() < end and process.poll() is None, "no scratch folder appears")
        time.sleep(0.001)
    process.send_signal(number)
    return process


@tests.add("what a killed run has left goes with the next, and what a living one has stays")
def _():
    killed = Run(FIX, code=None)
    sent_midway(killed, signal.SIGKILL).communicate()
    while processes_of(killed.temporary):
        time.sleep(0.01)
    check(len(list(killed.temporary.iterdir())) == 1, "the killed one has left nothing")
    stopped = sent_midway(killed, signal.SIGSTOP)
    kept = list(killed.temporary.iterdir())
    check(len(kept) == 1, f"the killed one's folder is still there: {kept}")
    done = subprocess.run(Run(FIX, code=None).command, env=killed.environment, cwd=ROOT, capture_output=True, check=False)
    check(done.returncode == DONE and list(killed.temporary.iterdir()) == kept, "the living one's folder is gone")
    stopped.send_signal(signal.SIGCONT)
    stopped.communicate(timeout=LIMIT)
    check(stopped.returncode == DONE and not list(killed.temporary.iterdir()), "the living one was disturbed")


@tests.add("a time limit ends it, too")
def _():
    Run(FIX, "--timeout", "30ms", code=TIMED_OUT).says("timed out")


@tests.add("command lines without sense are refused")
def _():
    for arguments in (["build"], ["build", "--base", str(BASE)], ["build", "--base", str(BASE), "-o", "x", "--jobs", "0"],
                      ["build", "--base", str(BASE), "-o", "x", str(FIX), "--tree", "."]):
        process = subprocess.run([str(GRAFT), *arguments], capture_output=True, text=True, check=False)
        check(process.returncode == USAGE, f"{arguments}: {process.returncode}")
    run = Run(FIX, code=None)
    run.command[run.command.index("-o") + 1] = str(run.folder / "no/such/folder/x.klp")
    process = subprocess.run(run.command, env=run.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    check(process.returncode == REFUSED and "cannot be written" in process.stderr, process.stderr)
    run.check_clean()


if __name__ == "__main__":
    try:
        tests.run()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
