#!/usr/bin/env python3
"""Checks the models in tests/model/ with SPIN: all states of each, and each deliberate defect.

usage: run.py --tasks 2|3 [--memory MEGABYTES] [--only NAME]
A model has its properties as assertions, each with the property's name in a comment on its line. A defect is a macro that
takes one mechanism out; it must break the property that it is listed with. States are kept whole (no hashing that could
lose one). The last line is `model: properties=N held=N states=N mutants=N caught=N`.
"""
import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROPERTIES = {
    "transition": ("universe", "freed", "forgotten", "settled"),
    "sites_hardware": ("definite", "done"),
    "sites_emulator": ("definite", "done"),
}
# Defect, and what it must break.
MUTANTS = {
    "transition": {
        "MOVE_BEFORE_ALL_SITES": ("universe",),
        "NO_SYNC_BEFORE_MOVING": ("universe",),
        "CALLER_IS_NOT_HELD": ("universe",),
        "LOOK_THEN_MOVE": ("universe",),
        "SETTLE_ALWAYS_FORWARD": ("universe", "freed"),
        "TRAMPOLINE_IS_OUTSIDE": ("universe", "freed"),
        "HELPER_IS_OUTSIDE": ("freed",),
        "NO_SYNC_AFTER_SETTLING": ("freed",),
        "NO_DRAIN": ("freed",),
        "DORMANT_IS_FREED": ("freed",),
        "HOOK_HAS_TARGET": ("forgotten",),
        "NO_SWEEP_AFTER_TURN": ("forgotten",),
        "BIRTH_IN_TWO_STEPS": ("forgotten", "settled"),
        "DONT_WAIT_FOR_THE_LAST": ("settled",),
    },
    "sites_hardware": {
        "NO_BREAKPOINTS": ("definite",),
        "NO_SYNC_AFTER_BREAKPOINTS": ("definite",),
        "NO_SYNC_AFTER_TAILS": ("definite",),
        "NO_SYNC_AT_END": ("done",),
    },
    "sites_emulator": {
        "NO_SYNC_AFTER_BREAKPOINTS": ("definite",),
        "NO_FLUSH": ("done",),
        "NO_SECOND_WRITE": ("done",),
    },
}
STATES = re.compile(r"^\s*(\d+) states, stored", re.MULTILINE)
DEPTH = re.compile(r"max search depth too small", re.MULTILINE)
VIOLATED = re.compile(r"^spin: .*?\.pml:(\d+), Error: assertion violated", re.MULTILINE)
NAMED = re.compile(r"/\* (\w+) \*/")
SECONDS = 1800


def command(arguments, folder):
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS)


def broken_property(model, defines, folder):
    """The name on the line of the assertion that the trail ends at."""
    replay = command(["spin", "-t", *defines, f"{model}.pml"], folder)
    match = VIOLATED.search(replay.stdout)
    if not match:
        return "none (the search ended otherwise)"
    line = (HERE / f"{model}.pml").read_text(encoding="utf-8").splitlines()[int(match.group(1)) - 1]
    name = NAMED.search(line)
    return name.group(1) if name else f"unnamed assertion in line {match.group(1)}"


def check(model, defines, memory, depth):
    """(states, None | name of the broken property | what went wrong)"""
    defines = [f"-D{define}" for define in defines]
    with tempfile.TemporaryDirectory(prefix="graft-model-") as folder:
        shutil.copy(HERE / f"{model}.pml", folder)
        made = command(["spin", "-a", *defines, f"{model}.pml"], folder)
        if made.returncode != 0:
            return 0, "spin: " + made.stdout.strip()[:400]
        built = command(["gcc", "-w", "-O2", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={memory}", "pan.c", "-o", "pan"], folder)
        if built.returncode != 0:
            return 0, "gcc: " + built.stderr.strip()[:400]
        done = command(["./pan", f"-m{depth}"], folder)
        found = STATES.search(done.stdout)
        states = int(found.group(1)) if found else 0
        if "errors: 0" not in done.stdout:
            if "errors: 1" in done.stdout:
                return states, broken_property(model, defines, folder)
            return states, "no end: " + (done.stdout + done.stderr).strip()[-400:]
        if DEPTH.search(done.stdout) or "out of memory" in done.stdout:
            return states, "the search was cut short"
        return states, None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, choices=(2, 3), default=3)
    parser.add_argument("--memory", type=int, default=12000)
    parser.add_argument("--only", choices=PROPERTIES)
    options = parser.parse_args()
    depth = 5_000_000 if options.tasks == 2 else 20_000_000
    models = [options.only] if options.only else list(PROPERTIES)

    properties = held = states = mutants = caught = 0
    for model in models:
        count, trouble = check(model, [f"TASKS={options.tasks}"], options.memory, depth)
        properties += len(PROPERTIES[model])
        states += count
        if trouble is None:
            held += len(PROPERTIES[model])
        print(f"{model}: {count} states, {'all properties hold' if trouble is None else 'BROKEN: ' + trouble}", flush=True)

    jobs = [(model, mutant) for model in models for mutant in MUTANTS[model]]
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda job: check(job[0], ["TASKS=2", job[1]], options.memory // 2, 5_000_000), jobs)
        for (model, mutant), (_, broken) in zip(jobs, results):
            expected = MUTANTS[model][mutant]
            mutants += 1
            caught += broken in expected
            verdict = "breaks" if broken in expected else f"NOT CAUGHT (expected {' or '.join(expected)}):"
            print(f"{model} {mutant}: {verdict} {broken}", flush=True)
    print(f"model: properties={properties} held={held} states={states} mutants={mutants} caught={caught}")
    return 0 if held == properties and caught == mutants else 1


if __name__ == "__main__":
    sys.exit(main())
