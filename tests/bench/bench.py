#!/usr/bin/env python3
"""Measures in the guest and sets the figures beside Linux's: `make bench PART=call|transition`.

usage: bench.py --part call|transition [--calls N] [--tasks N,N...]

  call         what a call of a function costs before, while and after it is patched
  transition   how long a patch takes to come and go with sleeping tasks, busy ones and one that holds it
  build        how long `graft build` takes beside the compiler alone (bench_build.py)

Instructions are the guest's: one processor under `-icount shift=0`, where the time stamp counter counts them. Durations
are those of four processors under QEMU's multi-threaded emulation, on whatever the host has to spare, and nothing is
claimed of them. The table and its figures stay in build/bench/PART.txt and PART.json. The last line is `bench: ...`; the
exit code is 0 only when the guest found all that it claims to hold.
"""
import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from bench_build import measure_build

BUILD = Path("build")
IMAGE, PATCH = BUILD / "test-bench.elf", BUILD / "test-bench/patches/bench.klp"
OUTPUT = BUILD / "bench"
FIGURE = re.compile(r"^figure (\w+)=(\d+)$")
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\r\0]")
LIMIT = 1500  # seconds; a hang detector
COUNTING = ["-icount", "shift=0,sleep=off"]

# Linux 6.1, same emulator: its livepatch on one processor under -icount, durations on two processors.
LINUX = {
    "unpatched": 8, "settled": 79, "in_transition": 84,
    "smallest_transition": 8_600_000, "per_task": 2_550,
    "enable_ms": "1000 - 1800", "disable_ms": "100 - 2000", "after_return_ms": "70 - 2300", "busy": "not in 60 s",
}


def run_guest(options, processors, memory, qemu):
    """(passed, {figure: value}); the guest's other lines go to standard output."""
    arguments = ["exit=debug", "control=off", "patches=manual", "log=warning", *options]
    command = [str(BUILD / "graft"), "--timeout", str(LIMIT), "run", str(IMAGE), "--accel", "tcg", "--smp", str(processors),
               "--mem", memory, "--module", str(PATCH), "--append", " ".join(arguments)]
    if qemu:
        command += ["--", *qemu]
    figures = {}
    environment = {**os.environ, "GRAFT_ACCEL": "tcg"}  # instructions are counted by emulation only
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace",
                          env=environment) as process:
        for line in process.stdout:
            line = ESCAPES.sub("", line.rstrip("\n"))
            match = FIGURE.match(line)
            if match:
                figures[match.group(1)] = int(match.group(2))
            else:
                print(line, flush=True)
    return process.returncode == 0, figures


def table(rows):
    """Text columns; the first is set left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [" | ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in
                        enumerate(zip(row, widths, strict=True))) for row in rows]
    return [lines[0], "-+-".join("-" * width for width in widths), *lines[1:]]


def hundredths(value):
    sign = "-" if value < 0 else ""
    return f"{sign}{abs(value) // 100}.{abs(value) % 100:02}"


def measure_call(options):
    passed, figures = run_guest(["part=call", f"calls={options.calls}"], 1, "256M", COUNTING)
    base = figures.get("unpatched")

    def row(name, key, linux):
        if key not in figures or base is None:
            return [name, "-", "-", linux]
        return [name, hundredths(figures[key]), f"{'+' if figures[key] >= base else ''}{hundredths(figures[key] - base)}", linux]

    rows = [["instructions of a call", "Graft", "more than unpatched", "Linux 6.1, same emulator"],
            row("past the call site", "past_site", ""),
            row("unpatched", "unpatched", str(LINUX["unpatched"])),
            row("measured, of a canary", "measured", ""),
            row("of another function meanwhile", "beside_measured", ""),
            row("settled", "settled", f"+{LINUX['settled']}"),
            row("patch comes, task moved", "loading_moved", f"+{LINUX['in_transition']}"),
            row("patch comes, task not moved", "loading_not_moved", f"+{LINUX['in_transition']}"),
            row("patch goes, task moved", "unloading_moved", f"+{LINUX['in_transition']}"),
            row("patch goes, task not moved", "unloading_not_moved", f"+{LINUX['in_transition']}"),
            row("unloaded", "unloaded", "")]
    lines = table(rows) + ["A trampoline compares the patch state and jumps: it writes nothing, to memory or a register but the flags."]
    summary = " ".join(f"{key}={hundredths(figures[key])}" if key in figures else f"{key}=missing"
                       for key in ("past_site", "unpatched", "measured", "beside_measured", "settled", "in_transition", "unloaded"))
    return passed, {"one_processor_hundredths": figures, "linux": LINUX}, lines, summary


def in_ms(figures, key):
    return f"{figures[key] / 1e6:.2f}" if key in figures else "-"


def measure_transition(options):
    run = ["part=transition", f"tasks={options.tasks}"]
    counted_well, counted = run_guest([*run, "unit=ticks"], 1, "1G", COUNTING)
    timed_well, timed = run_guest(run, 4, "1G", [])
    sizes = options.tasks.split(",")

    def row(name, key, linux_instructions, linux_ms):
        count = f"{counted[key]:,}" if key in counted else "-"
        return [name, count, linux_instructions, in_ms(timed, key), linux_ms]

    rows = [["", "instructions, 1 processor", "Linux 6.1, same emulator", "ms, 4 processors", "Linux 6.1, 2 processors"]]
    for size in sizes:
        linux = f"{LINUX['smallest_transition'] + LINUX['per_task'] * int(size):,}"
        rows += [row(f"load, {size} sleeping tasks", f"load_{size}", linux, LINUX["enable_ms"]),
                 row("  of these, since all sites were live", f"load_moving_{size}", "", ""),
                 row(f"unload, {size} sleeping tasks", f"unload_{size}", "", LINUX["disable_ms"]),
                 row("  of these, since all sites were live", f"unload_moving_{size}", "", ""),
                 row("  until the patch's memory was free", f"unload_freed_{size}", "", "")]
    rows += [row("load, 4 endless loops", "load_busy", "", LINUX["busy"]),
             row("unload, 4 endless loops", "unload_busy", "", ""),
             row("load: blocked task's return to the end", "load_after_return_few", "", LINUX["after_return_ms"]),
             row("unload: the same", "unload_after_return_few", "", ""),
             row(f"load: the same, {sizes[-1]} sleeping tasks", "load_after_return_many", "", ""),
             row(f"unload: the same, {sizes[-1]} sleeping tasks", "unload_after_return_many", "", "")]
    lines = table(rows) + ["A load counts from the request on, with checking, linking and writing call sites. With busy tasks the "
                           "instructions are those of the tasks' own turns, too."]
    chosen = [key for size in sizes for key in (f"load_{size}", f"unload_{size}")]
    chosen += ["load_busy", "unload_busy", "load_after_return_few", "unload_after_return_few"]
    summary = " ".join(f"{key}={counted.get(key, 'missing')}" for key in chosen)
    figures = {"one_processor_instructions": counted, "four_processors_ns": timed, "linux": LINUX}
    return counted_well and timed_well, figures, lines, summary


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=("call", "transition", "build"), required=True)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--tasks", default="8,64,1024,10000", help="numbers of sleeping tasks, rising, with commas")
    parser.add_argument("--rounds", type=int, default=5, help="of part build")
    parser.add_argument("--full", type=int, default=1, help="part build: measure a full build, too")
    options = parser.parse_args()
    if options.part == "build":
        passed, figures, rows, lines, summary = measure_build(options)
        lines = table(rows) + lines
    else:
        passed, figures, lines, summary = (measure_call if options.part == "call" else measure_transition)(options)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines) + "\n"
    (OUTPUT / f"{options.part}.txt").write_text(text, encoding="utf-8")
    (OUTPUT / f"{options.part}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(text)
    print(f"bench: part={options.part} {summary}" + ("" if passed else " failed=1"))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
