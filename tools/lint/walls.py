#!/usr/bin/env python3
"""Keeps the walls of the house: which folder may include which, by the table below.

A file may include its own floor's folder and what the table lists for it, by path from the root; standard headers
depend on the side: the image's floors get the freestanding part only.
"""
import re
import sys
from pathlib import Path

TABLE = {
    "base": [],
    "formats": ["base"],
    "arch": ["base"],
    "patch": ["base", "formats"],
    "tools": ["base", "formats"],
    "kernel": ["base", "arch", "patch", "formats/image_tables.h"],
    "drivers": ["base", "arch", "kernel"],
    "control": ["base", "formats", "patch", "kernel", "drivers"],
    "net": ["base", "kernel", "drivers"],
    "apps": ["base", "kernel", "net", "patch/author.h"],
    "boot": ["base", "formats", "arch", "patch", "kernel", "drivers", "control", "net"],
    "tests": ["base", "formats", "arch", "patch", "kernel", "drivers", "control", "net", "boot", "tools"],
}
# Folders whose inside has a wall of its own: pure code knows nothing that only runs on the machine.
INNER = {
    "arch/x86_64/pure/": ("arch/", ["arch/x86_64/pure/"]),
    "kernel/pure/": ("kernel/", ["kernel/pure/"]),
}
IMAGE = {"base", "formats", "arch", "patch", "kernel", "drivers", "control", "net", "apps", "boot"}
FREESTANDING = set(
    "algorithm array atomic bit charconv cinttypes climits compare concepts cstddef cstdint cstdlib cstring coroutine "
    "expected functional initializer_list iterator limits memory new numeric optional ranges source_location span "
    "string_view tuple type_traits utility variant version stdarg.h stddef.h stdint.h limits.h string.h".split())
# Libraries that one file of the image may know.
LIBRARIES = {"patch/signature.cpp": ["sodium/crypto_sign_ed25519.h"]}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def findings(path, root):
    name = path.relative_to(root).as_posix()
    floor = name.split("/")[0]
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, target = match.groups()
        where = f"{name}:{number}: {target}"
        if kind == "<":
            if floor in IMAGE and target not in FREESTANDING and target not in LIBRARIES.get(name, []):
                yield f"{where}: not in the freestanding part of the library that the image may use"
            continue
        if not (root / target).is_file():
            yield f"{where}: no such file from the root of the repository"
            continue
        allowed = [floor, *TABLE[floor]]
        if not any(target == entry or target.startswith(entry + "/") for entry in allowed):
            yield f"{where}: {floor}/ may include {', '.join(allowed)} only"
        for inside, (prefix, good) in INNER.items():
            if name.startswith(inside) and target.startswith(prefix) and not target.startswith(tuple(good)):
                yield f"{where}: {inside} may include only itself of {prefix}"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found, files = [], 0
    for floor in TABLE:
        for path in sorted((root / floor).rglob("*")):
            if path.suffix in (".h", ".cpp", ".c", ".S") and path.is_file():
                files += 1
                found += findings(path, root)
    print("\n".join(found + [f"walls: files={files} findings={len(found)}"]))
    return 1 if found or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
