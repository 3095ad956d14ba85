"""The image that the corpus is about, compiled with some level of optimisation.

At -O2 it is the one under build/. Any other level has a copy of the tree of its own, build/corpus/LEVEL/, so that the
normal build is left alone: the copy is brought up to date file by file, and what has not changed isn't compiled again.
"""
import filecmp
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("GRAFT_BUILD", ROOT / "build"))
NORMAL = "-O2"
IMAGE = "test-corpus"
LEFT_OUT = ("build", "build-sources", "build-toolchain", ".git")


class CannotBuild(Exception):
    """The image at this level doesn't come about."""


class Baseline:
    def __init__(self, build):
        self.image = build / f"{IMAGE}.elf"
        self.folder = build / IMAGE
        self.tree = build.parent


def files_below(folder):
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] not in LEFT_OUT and "__pycache__" not in relative.parts and path.is_file():
            yield relative


def copy_tree(target):
    wanted = set(files_below(ROOT))
    for relative in sorted(wanted):
        source, copy = ROOT / relative, target / relative
        if copy.is_file() and filecmp.cmp(source, copy, shallow=False):
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    for relative in set(files_below(target)) - wanted if target.is_dir() else ():
        (target / relative).unlink()


def baseline(opt):
    if opt == NORMAL:
        return Baseline(BUILD)
    tree = BUILD / "corpus" / opt.lstrip("-")
    copy_tree(tree)
    made = subprocess.run(["make", "-C", str(tree), f"-j{os.cpu_count() or 1}", "--no-print-directory", f"OPT={opt}", f"build/{IMAGE}.elf"],
                          env={"SOURCES_DIR": str(ROOT / "build-sources"), **os.environ}, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise CannotBuild((made.stdout + made.stderr)[-3000:])
    return Baseline(tree / "build")
