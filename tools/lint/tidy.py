#!/usr/bin/env python3
"""Runs clang-tidy over every source of a compile database, in parallel.

usage: tidy.py CLANG-TIDY DATABASE-FOLDER
"""
import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path


def main():
    tool, folder = sys.argv[1:3]
    files = [record["file"] for record in json.loads(Path(folder, "compile_commands.json").read_text(encoding="utf-8"))]

    def check(name):
        done = subprocess.run([tool, "-p", folder, "--quiet", name], capture_output=True, text=True, check=False)
        return [line for line in done.stdout.splitlines() if line] if done.returncode else []

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = sorted({line for lines in pool.map(check, files) for line in lines if ": error:" in line or ": warning:" in line})
    print("\n".join(found + [f"tidy: files={len(files)} findings={len(found)}"]))
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
