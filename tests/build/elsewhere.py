"""The repository once more, in another folder: for builds that must not touch this one's."""
import shutil
from pathlib import Path

SOURCES = ["Makefile", "mk", "linker.ld", "base", "formats", "arch", "patch", "kernel", "drivers", "control", "boot", "apps", "keys",
           "tools", "tests"]
HOST_TOOLS = ("host", "tools")  # they aren't part of an image


def copy_tree(there, *parts):
    """The sources, and those parts of build/, with their times: what is made there counts as made."""
    for name in SOURCES:
        if Path(name).is_dir():
            shutil.copytree(name, there / name)
        elif Path(name).exists():
            shutil.copy2(name, there / name)
    for part in parts:
        shutil.copytree(Path("build", part), there / "build" / part)
