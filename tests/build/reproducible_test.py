#!/usr/bin/env python3
"""The same sources give the same bytes in whatever folder: the demo's image is built again elsewhere and compared, and
so are the patches that `graft build` makes of one diff here and there.

The host's tools are copied, not rebuilt: they aren't part of the image.
"""
import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

from elsewhere import HOST_TOOLS, copy_tree


DIFF = Path("apps/demo/patches/fix_total.diff")


def patch_of(tree, output):
    """What the diff becomes with the build folder and in the working folder of that tree."""
    command = [Path("build/graft").resolve(), "build", "--base", "build/demo", "--key", "none", DIFF, "--name", "fix", "-o", output]
    subprocess.run(command, cwd=tree, check=True, stdout=sys.stderr)
    return output.read_bytes()


def main():
    image = Path("build/demo.elf")
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder, "a_folder_with_a_name_of_another_length")
        there.mkdir()
        copy_tree(there, *HOST_TOOLS)
        subprocess.run(["make", "--no-print-directory", "-C", str(there), "build/demo.elf"], check=True, stdout=sys.stderr,
                       close_fds=False)  # make's job server
        same = filecmp.cmp(image, there / "build/demo.elf", shallow=False)
        same_patch = patch_of(Path.cwd(), Path(folder, "here.klp")) == patch_of(there, Path(folder, "there.klp"))
    print(f"reproducible: image={image} same={'yes' if same else 'no'} patch={'same' if same_patch else 'differs'}")
    return 0 if same and same_patch else 1


if __name__ == "__main__":
    sys.exit(main())
