"""Part `build` of the benchmark: what `graft build` takes beside the compiler alone, and beside a full build.

For each of some files, and round by round in turn: the recorded command of the file twice, one after the other; then
`graft build` of a diff that changes one function of it. The claim is that the median of the second is at most twice that of
the first. A compile cache is off, for both.
"""
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

BUILD = Path("build")
BASE = BUILD / "demo"
# A small, a middling and a large source, each with the line that the diff is made of.
FILES = [("apps/demo/invoice.cpp", "    i64 sum = 0;\n", "    i64 sum = 0;\n    asm volatile(\"nop\");\n"),
         ("kernel/log.cpp", "bool is_for_console(const LogRecord& record) {\n", "bool is_for_console(const LogRecord& record) {\n    asm volatile(\"nop\");\n"),
         ("control/server_requests.cpp", "Stat stat_of(const NodeInfo& info) {\n", "Stat stat_of(const NodeInfo& info) {\n    asm volatile(\"nop\");\n")]
LIMIT = 2.0


def recorded_command(source):
    """The words that compile the source, but for the output; they run in the tree."""
    compilers, flags = {}, []
    for line in (BASE / "baseline/record").read_text(encoding="utf-8").splitlines():
        kind, *fields = line.split("\t")
        if kind == "compiler":
            compilers[fields[0]] = fields[1]
        elif kind == "flags":
            flags.append(fields)
        elif kind == "unit" and fields[1] == source:
            return [compilers[fields[2]], *flags[int(fields[3])], "-c", source, "-o"]
    raise ValueError(f"{source} isn't part of {BASE}")


def timed(commands, environment):
    began = time.monotonic()
    for command in commands:
        process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if process.returncode != 0:
            raise ValueError(f"{' '.join(command)}: exit code {process.returncode}\n{process.stderr}")
    return time.monotonic() - began


def measure_file(source, before, after, rounds, folder, environment):
    """(seconds of two compilations, seconds of graft build), medians."""
    text = (BASE / "baseline/sources" / source).read_text(encoding="utf-8")
    if text.count(before) < 1:
        raise ValueError(f"{source}: no line {before!r}")
    for side, content in (("a", text), ("b", text.replace(before, after, 1))):
        path = Path(folder, side, source)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    diff = subprocess.run(["git", "diff", "--no-index", f"a/{source}", f"b/{source}"], cwd=folder, capture_output=True, check=False).stdout
    diff_path, out = Path(folder, "one.diff"), str(Path(folder, "out"))
    diff_path.write_bytes(diff)
    compile_it = [*recorded_command(source), out + ".o"]
    build_it = [str(BUILD / "graft"), "build", "--base", str(BASE), str(diff_path), "-o", out + ".klp"]
    compiled, built = [], []
    for _ in range(rounds):
        compiled.append(timed([compile_it, compile_it], environment))
        built.append(timed([build_it], environment))
    return statistics.median(compiled), statistics.median(built)


def full_build(folder, environment):
    """Seconds of building the image anew, with the host's tools there already."""
    there = Path(folder, "full")
    there.mkdir()
    tracked = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, tracked):
        if Path(name).is_file():
            (there / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, there / name)
    for part in ("host", "tools"):
        shutil.copytree(BUILD / part, there / "build" / part)
    clean = {name: value for name, value in environment.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    return timed([["make", "--no-print-directory", "-C", str(there), "build/demo.elf"]], clean)


def measure_build(options):
    environment = {**os.environ, "CCACHE_DISABLE": "1"}
    rows = [["", "compiled twice", "graft build", "ratio"]]
    figures, ratios = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for source, before, after in FILES:
            compiled, built = measure_file(source, before, after, options.rounds, folder, environment)
            ratios.append(built / compiled)
            figures[source] = {"compiled_twice_s": compiled, "graft_build_s": built}
            rows.append([source, f"{compiled:.2f} s", f"{built:.2f} s", f"{built / compiled:.2f}"])
        full = full_build(folder, environment) if options.full else None
    figures["full_build_s"] = full
    lines = [f"Medians of {options.rounds} rounds on {os.cpu_count()} processors. At most {LIMIT:.0f} is claimed of the ratio."]
    if full is not None:
        lines.append(f"A full build of the image took {full:.1f} s.")
    summary = f"files={len(FILES)} ratio={max(ratios):.2f} limit={LIMIT:.2f} full_s={'skipped' if full is None else f'{full:.1f}'}"
    return max(ratios) <= LIMIT, figures, rows, lines, summary
