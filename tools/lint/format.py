#!/usr/bin/env python3
"""Sources are laid out as .clang-format says: checks all, or with --fix rewrites those that aren't."""
import subprocess
import sys
from pathlib import Path

FLOORS = ["base", "formats", "arch", "patch", "kernel", "drivers", "control", "net", "boot", "apps", "tools", "tests"]
TOOL = "clang-format-19"


def main():
    files = sorted(path.as_posix() for floor in FLOORS for suffix in ("*.h", "*.cpp", "*.c")
                   for path in Path(floor).rglob(suffix))
    if "--fix" in sys.argv:
        return subprocess.run([TOOL, "-i", *files], check=False).returncode
    done = subprocess.run([TOOL, "--dry-run", "-Werror", *files], capture_output=True, text=True, check=False)
    wrong = sorted({line.split(":")[0] for line in done.stderr.splitlines() if "clang-format-violations" in line})
    print("\n".join([f"{name}: not formatted (make format)" for name in wrong] +
                    [f"format: files={len(files)} findings={len(wrong)}"]))
    return 0 if done.returncode == 0 and files else 1


if __name__ == "__main__":
    sys.exit(main())
