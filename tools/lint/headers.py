#!/usr/bin/env python3
"""Every header compiles alone, and guards itself.

usage: headers.py IMAGE-COMPILER IMAGE-FLAGS... -- HOST-COMPILER HOST-FLAGS...
One that its own source includes before all else needs no compilation of its own.
Headers of the image's floors are compiled as the image is, those of tools/ and tests/ as the host's programs are.
"""
import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

IMAGE_FLOORS = ["base", "formats", "arch", "patch", "kernel", "drivers", "control", "net", "boot", "apps"]
HOST_FLOORS = ["tools", "tests"]
GUARD = "#pragma once"
INCLUDE = re.compile(r'^#include ["<]([^">]+)[">]', re.MULTILINE)
NOT_THE_CODE = ["-pg", "-mfentry", "-mnop-mcount"]  # say something about code only


def is_first_of_its_source(header):
    source = header.with_suffix(".cpp")
    if not source.exists():
        return False
    first = INCLUDE.search(source.read_text(encoding="utf-8"))
    return first is not None and first.group(1) == header.as_posix()


def check(command, header):
    if GUARD not in header.read_text(encoding="utf-8").splitlines():
        return f"{header}: no {GUARD}"
    if is_first_of_its_source(header):
        return None
    source = f'#include "{header}"\n'
    done = subprocess.run([*command, "-fsyntax-only", "-x", "c++", "-"], input=source, text=True, capture_output=True)
    return None if done.returncode == 0 else f"{header}: doesn't compile alone:\n{done.stderr.rstrip()}"


def main():
    split = sys.argv.index("--")
    image, host = sys.argv[1:split], sys.argv[split + 1:]
    image = [flag for flag in image if flag not in NOT_THE_CODE]
    jobs = []
    for floors, command in ((IMAGE_FLOORS, image), (HOST_FLOORS, host)):
        for floor in floors:
            jobs += [(command, header) for header in sorted(Path(floor).rglob("*.h"))
                     if "guest" not in header.parts or command is image]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [result for result in pool.map(lambda job: check(*job), jobs) if result]
    print("\n".join(found + [f"headers: files={len(jobs)} findings={len(found)}"]))
    return 1 if found or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())
