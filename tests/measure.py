#!/usr/bin/env python3
"""Runs a measuring command, passes its output on, and ends with its one line `NAME: key=value …`.

usage: measure.py NAME COMMAND...
A console's carriage returns and colours are taken off. Fails when the command fails or the line is missing.
"""
import re
import subprocess
import sys

ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\r\0]")


def main():
    name, command = sys.argv[1], sys.argv[2:]
    last = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stdout:
            line = ESCAPES.sub("", line.rstrip("\n"))
            if line.startswith(name + ": "):
                if last is not None:
                    print(last)
                last = line
            else:
                print(line, flush=True)
    if last is None:
        print(f"{name}: no result (exit code {process.returncode})")
        return 1
    print(last)
    return 1 if process.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
