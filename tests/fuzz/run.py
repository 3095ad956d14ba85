#!/usr/bin/env python3
"""Runs the fuzzers under build/fuzz/, an equal share of the inputs each, from the kept corpus in tests/fuzz/corpus/.

usage: run.py --runs N [--target NAME|all] [--keep]
A target may count the inputs that got through all of its checks (`NAME: inputs=N committed=M`); a run in which fewer than
one in a hundred do is shallow, and fails.
New inputs stay in build/fuzz-corpus/; --keep merges what covers more into the kept corpus. A finding is left as a file
under build/fuzz-findings/ and makes the run fail.
"""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

CORPUS, GROWN, FINDINGS = Path("tests/fuzz/corpus"), Path("build/fuzz-corpus"), Path("build/fuzz-findings")
DONE = re.compile(r"^stat::number_of_executed_units: +(\d+)", re.MULTILINE)
COMMITTED = re.compile(r"^\w+: inputs=(\d+) committed=(\d+)$", re.MULTILINE)
LARGEST_INPUT = 65536
ENOUGH_TO_JUDGE = 1000  # inputs


def fuzz(program, runs):
    """(name, runs done, finding or None, what share of the inputs got through or "")"""
    name = program.name
    kept, grown, findings = CORPUS / name, GROWN / name, FINDINGS / name
    for folder in (grown, findings):
        folder.mkdir(parents=True, exist_ok=True)
    command = [str(program), f"-runs={runs}", f"-max_len={LARGEST_INPUT}", "-print_final_stats=1", "-timeout=30",
               "-rss_limit_mb=3000", f"-artifact_prefix={findings}/", str(grown)]
    if kept.is_dir():
        command.append(str(kept))
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    count = DONE.search(done.stderr)
    finding = None if done.returncode == 0 else "\n".join(done.stderr.splitlines()[-40:])
    share = ""
    if through := COMMITTED.search(done.stderr):
        inputs, committed = map(int, through.groups())
        share = f" committed={100 * committed / max(inputs, 1):.1f}%"
        if not finding and inputs >= ENOUGH_TO_JUDGE and committed * 100 < inputs:
            finding = f"of {inputs} inputs only {committed} got through the checks"
    return name, int(count.group(1)) if count else 0, finding, share


def keep(program):
    kept, grown = CORPUS / program.name, GROWN / program.name
    kept.mkdir(parents=True, exist_ok=True)
    subprocess.run([str(program), "-merge=1", str(kept), str(grown)], check=True, capture_output=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--target", default="all")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    sources = sorted(Path("tests/fuzz").glob("*_fuzz.cpp"))
    names = [source.stem.removesuffix("_fuzz") for source in sources]
    programs = [Path("build/fuzz", name) for name in names if options.target in ("all", name)]
    if not programs:
        print(f"no fuzzer {options.target}; there are: {', '.join(names)}", file=sys.stderr)
        return 2
    each = -(-options.runs // len(programs))
    total, findings = 0, 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, runs, finding, share in pool.map(lambda program: fuzz(program, each), programs):
            total += runs
            print(f"{name}: runs={runs} {'finding' if finding else 'no finding'}{share}", flush=True)
            if finding:
                findings += 1
                print(finding)
    if options.keep:
        for program in programs:
            keep(program)
    print(f"fuzz: runs={total} findings={findings}")
    return 1 if findings or total < options.runs else 0


if __name__ == "__main__":
    sys.exit(main())
