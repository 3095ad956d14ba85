#!/usr/bin/env python3
"""The one test runner: `make test`.

usage: run.py [SUITE...]

Each suite makes what it needs and runs one command, whose output says what passed:
  ktap   lines `ok N - name`, `not ok N - name`, a plan `1..N`; `# SKIP reason` marks a skipped test
  gtest  GoogleTest's lines
  line   the command is one test; its exit code decides
A suite that can't be made, ends with a failing code without a failed test, reports fewer tests than its plan says, or
outlasts its time limit counts as one failed test more. The limits are hang detectors, not performance targets.
Suites that drive a guest from outside wait most of their time: they run in pairs, after all that they need is made, and
beside them, one after the other, suites that start no guest.
The last line is `N passed, N failed, N skipped`; the exit code is 0 only when nothing failed and something passed.
"""
import concurrent.futures
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

KTAP = re.compile(r"^\s*(ok|not ok) (\d+)(?: -)? ?(.*)$")
PLAN = re.compile(r"^\s*1\.\.(\d+)\s*$")
GTEST_PLAN = re.compile(r"^\[=+\] Running (\d+) tests? from")
GTEST = re.compile(r"^\[ +(OK|FAILED|SKIPPED) +\] ([\w/]+\.[\w/]+)(?: \(\d+ ms\))?$")
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\r\0]")
SHOWN_LINES = 60
MEASURED = ("unwind", "torture", "lifecycle", "bench", "corpus")


class Suite:
    ALONE, GUEST, BESIDE = range(3)

    def __init__(self, name, targets, command, kind="line", limit=300, place=ALONE):
        self.name, self.targets, self.command, self.kind, self.limit = name, targets, command, kind, limit
        self.place = place  # GUEST and BESIDE ones that follow each other run together


def measured(name, target, needed, sizes, limit, place=Suite.ALONE):
    """A measuring target, run small, when what it needs is there."""
    if not Path(needed).exists():
        return []
    return [Suite(f"{name}", [], f"make --no-print-directory {target} {sizes}", "line", limit, place)]


def own_image(script):
    """A script test_NAME.py may have an image tests/guest/NAME/ with patches."""
    folder = Path("tests/guest", script.stem.removeprefix("test_"))
    if not folder.is_dir():
        return []
    image = f"build/test-{folder.name}"
    return [f"{image}.elf", *sorted(f"{image}/patches/{patch.stem}.klp" for patch in folder.glob("patches/*.cpp"))]


def guest_suites():
    """tests/guest/NAME/ is an image; its file `runs` has one `LABEL: ARGUMENTS of graft run` a line. Those that a measuring
    target runs need none."""
    suites = []
    for folder in sorted(path for path in Path("tests/guest").glob("*/") if path.is_dir() and path.name != "shared"):
        runs = folder / "runs"
        if folder.name in MEASURED and not runs.exists():
            continue
        lines = runs.read_text(encoding="utf-8").splitlines() if runs.exists() else ["4 processors: --smp 4 --append exit=debug"]
        for line in (line for line in lines if line and not line.startswith("#")):
            label, arguments = line.split(":", 1)
            image = f"build/test-{folder.name}.elf"
            modules = re.findall(r"--module (\S+)", arguments)
            suites.append(Suite(f"guest {folder.name} ({label})", [image, "build/graft", *modules],
                                f"build/graft --timeout 240 run {image} {arguments}", "ktap", 300))
    return suites


def all_suites():
    suites = [Suite(name, [], f"make --no-print-directory check_{name}", limit=900)
              for name in ("walls", "headers", "format", "shell")]
    suites.append(Suite("imagetables", ["build/tools/imagetables"],
                        "python3 tests/build/imagetables_test.py build/tools/imagetables", "ktap"))
    suites.append(Suite("inittext", ["build/tools/inittext"],
                        "python3 tests/build/inittext_test.py build/tools/inittext", "ktap"))
    suites.append(Suite("unit", ["build/unit/all"], "build/unit/all", "gtest", 600))
    suites.append(Suite("differ", [], "make --no-print-directory check_differ", "ktap", 600))
    suites.append(Suite("image", ["build/demo.elf"], "true"))
    suites.append(Suite("flags", [], "make --no-print-directory check_flags", "ktap"))
    suites.append(Suite("rows", [], "make --no-print-directory check_rows"))
    suites.append(Suite("patchable", [], "make --no-print-directory patchable"))
    suites.append(Suite("build", ["build/demo.elf", "build/graft"], "python3 tests/build/graft_build_test.py", "ktap", 600))
    suites.append(Suite("neutral", ["build/demo.elf", "build/graft"], "python3 tests/build/neutral_test.py --sample 8", "ktap", 900))
    suites += guest_suites()
    suites.append(Suite("reproducible", [], "make --no-print-directory check_reproducible", "line", 900, Suite.BESIDE))
    suites += measured("sim", "sim", "tests/sim/main.cpp", "SEEDS=100", 900, Suite.BESIDE)
    if list(Path("tests/fuzz").glob("*_fuzz.cpp")):
        suites += measured("fuzz", "fuzz", "tests/fuzz/run.py", "RUNS=20000", 900, Suite.BESIDE)
    suites += measured("model", "model", "tests/model/run.py", "MODEL_TASKS=2", 900, Suite.BESIDE)
    for script in sorted(Path("tests/qemu").glob("test_*.py")):
        targets = ["build/demo.elf", "build/demo.iso", "build/graft", "tools", "build/tools/fids", "build/tools/hostile",
                   "patches"]
        suites.append(Suite(script.stem.replace("test_", "qemu "), targets + own_image(script), f"python3 {script}", "ktap", 600, Suite.GUEST))
    for script in sorted(Path("tests/docs").glob("*_test.py")):
        suites.append(Suite("docs " + script.stem.removesuffix("_test"), ["build/graft"], f"python3 {script}", "ktap", 1200))
    suites += measured("corpus", "corpus", "tests/corpus/run.py", "", 600)
    suites += measured("selfpatch", "selfpatch", "tests/corpus/selfpatch.py", "COUNT=2 SEED=1", 600)
    suites += measured("unwind", "unwind", "tests/guest/unwind", "STEPS=20000", 600)
    suites += measured("torture", "torture", "tests/guest/torture", "CYCLES=20", 900)
    suites += measured("lifecycle", "lifecycle", "tests/guest/lifecycle", "OPS=100", 900)
    suites += measured("bench call", "bench PART=call", "tests/guest/bench", "CALLS=6400", 300)
    suites += measured("bench transition", "bench PART=transition", "tests/guest/bench", "TASKS=8,64", 600)
    suites += measured("bench build", "bench PART=build", "tests/bench/bench_build.py", "ROUNDS=3 FULL=0", 600)
    suites += measured("link", "link", "tests/qemu/link.py", "LOADS=3", 900)
    return suites


class Totals:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, 0

    def count(self, suite, verdict, name, seconds=None):
        took = f" ({seconds:.1f} s)" if seconds is not None else ""
        print(f"{verdict:7} {suite}: {name}{took}", flush=True)
        if verdict == "ok":
            self.passed += 1
        elif verdict == "skipped":
            self.skipped += 1
        else:
            self.failed += 1


RUNNING = set()  # processes that lead the sessions of what was started


def run(command, limit):
    """(exit code or None when it hung, output); ends everything the command started. It inherits make's job server."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          start_new_session=True, stdin=subprocess.DEVNULL, close_fds=False) as process:
        RUNNING.add(process)
        try:
            output, _ = process.communicate(timeout=limit)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            code = None
        except BaseException:
            end_all()
            raise
        finally:
            RUNNING.discard(process)
    return code, [ESCAPES.sub("", line) for line in output.splitlines()]


def end_all():
    """The runner is being ended: what it started doesn't see that, having sessions of its own."""
    for process in list(RUNNING):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def read_ktap(lines):
    """[(verdict, name)], and the number of tests announced or None."""
    results, plan = [], None
    for line in lines:
        announced, match = PLAN.match(line), KTAP.match(line)
        if announced:
            plan = int(announced.group(1))
        if match:
            verdict = "FAILED" if match.group(1) == "not ok" else "skipped" if "# SKIP" in match.group(3) else "ok"
            results.append((verdict, match.group(3)))
    return results, plan


def read_gtest(lines):
    verdicts = {"OK": "ok", "FAILED": "FAILED", "SKIPPED": "skipped"}
    plan = next((int(match.group(1)) for match in map(GTEST_PLAN.match, lines) if match), None)
    # A summary repeats the names of failed and skipped tests, without a time.
    return [(verdicts[match.group(1)], match.group(2)) for match in map(GTEST.match, lines)
            if match and match.group(0).endswith("ms)")], plan


class Outcome:
    """What a suite's command did: its exit code or None when it hung, its output, how long it took."""
    def __init__(self, suite):
        start = time.monotonic()
        self.code, self.lines = run(shlex.split(suite.command), suite.limit)
        self.seconds = time.monotonic() - start


def make_for(suite, totals):
    """Whether all that the suite needs is there."""
    code, lines = run(["make", "--no-print-directory", *suite.targets], 1800) if suite.targets else (0, [])
    if code != 0:
        print("\n".join(lines[-SHOWN_LINES:]))
        totals.count(suite.name, "FAILED", "can't be made: " + " ".join(suite.targets))
    return code == 0


def judge(suite, outcome, totals):
    code, lines = outcome.code, outcome.lines
    hung = f"no end after {suite.limit} s"
    if suite.kind == "line":
        if code != 0:
            print("\n".join(lines[-SHOWN_LINES:]))
        last = lines[-1] if lines else ""
        totals.count(suite.name, "ok" if code == 0 else "FAILED", hung if code is None else last, outcome.seconds)
        return
    results, plan = (read_ktap if suite.kind == "ktap" else read_gtest)(lines)
    failed = any(verdict == "FAILED" for verdict, _ in results)
    trouble = None
    if code is None:
        trouble = hung
    elif plan is not None and plan != len(results):
        trouble = f"{len(results)} of {plan} tests reported"
    elif not results:
        trouble = "no tests reported"
    elif code != 0 and not failed:
        trouble = f"exit code {code}"
    if failed or trouble:
        print("\n".join(lines[-SHOWN_LINES:]))
    for verdict, name in results:
        totals.count(suite.name, verdict, name)
    if trouble:
        totals.count(suite.name, "FAILED", trouble)
    print(f"suite   {suite.name}: {outcome.seconds:.1f} s", flush=True)


def run_suites(suites, totals):
    start = time.monotonic()
    ready = [suite for suite in suites if make_for(suite, totals)]
    print(f"made    {suites[0].name}: {time.monotonic() - start:.1f} s", flush=True)
    with concurrent.futures.ThreadPoolExecutor(2) as guests, concurrent.futures.ThreadPoolExecutor(1) as others:
        try:
            ends = [(guests if suite.place == Suite.GUEST else others).submit(Outcome, suite) for suite in ready]
            for suite, end in zip(ready, ends):
                judge(suite, end.result(), totals)
        except BaseException:
            for pool in (guests, others):
                pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted = sys.argv[1:]
    totals = Totals()
    suites = [suite for suite in all_suites()
              if not wanted or suite.name.split(" ")[0] in wanted or suite.name in wanted]
    for alone, group in itertools.groupby(suites, lambda suite: suite.place == Suite.ALONE):
        group = list(group)
        for some in [[suite] for suite in group] if alone else [group]:
            run_suites(some, totals)
    print(f"{totals.passed} passed, {totals.failed} failed, {totals.skipped} skipped")
    return 0 if totals.failed == 0 and totals.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
