#!/usr/bin/env python3
"""Runs clang-tidy over the sources of a compile database, in parallel.

usage: tidy.py CLANG-TIDY DATABASE-FOLDER [FILE…]

FILE: a source as the database names it, or a header, which stands for the first source that includes it; without any,
all sources are checked. What is found is printed as it is found, how far it has come on a terminal only.
"""
import concurrent.futures
import json
import os
import re
import subprocess
import sys
from pathlib import Path

FINDING = re.compile(r": (?:error|warning): .*\]$")


def sources_of(folder):
    return list(dict.fromkeys(record["file"] for record in
                              json.loads(Path(folder, "compile_commands.json").read_text(encoding="utf-8"))))


def chosen(sources, wanted):
    """The sources for what was asked for; ends the program when there is none for a file."""
    files = []
    for name in wanted:
        name = os.path.relpath(name)
        if name in sources:
            files.append(name)
            continue
        include = f'#include "{name}"'
        user = next((source for source in sources if include in Path(source).read_text(encoding="utf-8")), None)
        if not user:
            sys.exit(f"tidy: {name}: neither in the database nor included by a source that is")
        files.append(user)
    return list(dict.fromkeys(files))


class Progress:
    def __init__(self, total):
        self.total, self.done, self.shown = total, 0, sys.stderr.isatty()

    def show(self, name):
        self.done += 1
        if self.shown:
            print(f"\r\033[Ktidy: {self.done} of {self.total}, {name}", end="", file=sys.stderr, flush=True)

    def clear(self):
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    tool, folder, *wanted = sys.argv[1:]
    sources = sources_of(folder)
    files = chosen(sources, wanted) if wanted else sources

    def check(name):
        done = subprocess.run([tool, "-p", folder, "--quiet", name], capture_output=True, text=True, check=False)
        found = [line for line in done.stdout.splitlines() if FINDING.search(line)]
        if done.returncode != 0 and not found:
            found = [f"{name}: error: clang-tidy ends with {done.returncode}: {done.stderr.strip()[-300:]} [clang-tidy]"]
        return name, found

    # A finding in a header comes with each source that includes it.
    seen, progress = set(), Progress(len(files))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in concurrent.futures.as_completed([pool.submit(check, name) for name in files]):
            name, found = done.result()
            progress.show(name)
            for line in found:
                if line in seen:
                    continue
                seen.add(line)
                progress.clear()
                print(line, flush=True)
    progress.clear()
    print(f"tidy: files={len(files)} findings={len(seen)}")
    return 1 if seen or not files else 0


if __name__ == "__main__":
    sys.exit(main())
