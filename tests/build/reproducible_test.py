#!/usr/bin/env python3
"""The same sources give the same bytes in whatever folder: the demo's image is built again elsewhere and compared.

The host's tools are copied, not rebuilt: they aren't part of the image.
"""
import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

from elsewhere import HOST_TOOLS, copy_tree


def main():
    image = Path("build/demo.elf")
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder, "a_folder_with_a_name_of_another_length")
        there.mkdir()
        copy_tree(there, *HOST_TOOLS)
        subprocess.run(["make", "--no-print-directory", "-C", str(there), "build/demo.elf"], check=True, stdout=sys.stderr,
                       close_fds=False)  # make's job server
        same = filecmp.cmp(image, there / "build/demo.elf", shallow=False)
    print(f"reproducible: image={image} same={'yes' if same else 'no'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
