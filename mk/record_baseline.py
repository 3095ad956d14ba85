#!/usr/bin/env python3
"""Keeps what an image was made of, so that `graft build` can make patches for it whatever becomes of the tree.

usage: record_baseline.py LIST FOLDER IMAGE MAP APP FETCHED FLOOR...
LIST has one `OBJECT TAB SOURCE TAB COMMAND` a line, how each object was compiled; an OBJECT of `-` says how a new source in
SOURCE's folder would be. APP is the application's folder, absolute if it lies outside the repository; FETCHED has the unpacked source packages.
FOLDER appears whole:

  FOLDER/record     the compilers, commands, sources and dependencies (tools/build/baseline.h has the format)
  FOLDER/sources/   the sources and headers as they were compiled; those of a folder outside are in sources/app/,
                    those of packages in sources/build-sources/
  FOLDER/objects/   the objects, under the names that the link map has
  FOLDER/image.elf  the linked image, and FOLDER/map its link map

Objects, image and map are hard links, since whoever makes them anew makes a new file; sources are copies, since editors
write in place. Fails when a source is newer than its object: the image isn't made of what is in the tree.
"""
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

FETCHED = "build-sources"
KEPT = (".h", ".hpp", ".inc", ".c", ".cpp", ".S")


class Sources:
    """Names of sources: from the tree's root, `app/…` for those of an application's folder outside, `build-sources/…` for
    those of fetched packages wherever they lie (as debug information has it: mk/flags.mk), else absolute."""

    def __init__(self, root, app, fetched):
        self.root, self.app, self.fetched = root, app, fetched
        self.found = {}

    def name(self, path):
        absolute = os.path.normpath(os.path.join(self.root, path))
        if self.is_fetched(absolute):
            return FETCHED + absolute[len(self.fetched):]
        if self.app and absolute.startswith(self.app + "/"):
            return "app/" + absolute[len(self.app) + 1:]
        return absolute[len(self.root) + 1:] if absolute.startswith(self.root + "/") else absolute

    def is_fetched(self, path):
        return path.startswith(self.fetched + "/")

    def add(self, path):
        name = self.name(path)
        self.found[name] = os.path.join(self.root, path)
        return name

    def add_folder(self, folder):
        """What a patch may come to include, though nothing does yet."""
        for where, folders, files in os.walk(folder, followlinks=True):
            folders[:] = sorted(name for name in folders if name != "patches" and not name.startswith("."))
            for file in files:
                if file.endswith(KEPT):
                    self.add(os.path.join(where, file))


def dependencies(path):
    """The prerequisites of a dependency file's first rule."""
    text = Path(path).read_text(encoding="utf-8").replace("\\\n", " ").split("\n", 1)[0]
    return [word.replace("\\ ", " ").replace("$$", "$") for word in re.findall(r"(?:\\ |\S)+", text.split(":", 1)[1])]


def compiler_lines(words):
    for word in sorted(words):
        path = shutil.which(word) or sys.exit(f"record_baseline: {word}: not found")
        version = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
        yield f"compiler\t{word}\t{path}\t{version}"


class Record:
    def __init__(self, sources):
        self.sources, self.flags, self.units, self.templates = sources, {}, [], []
        self.objects, self.compilers, self.searched = [], set(), set()

    def flag_number(self, words):
        return self.flags.setdefault(tuple(words), len(self.flags))

    def add(self, target, source, command):
        compiler, *flags = shlex.split(command)
        self.compilers.add(compiler)
        number = self.flag_number(flags)
        self.add_package_headers(flags)
        if target == "-":
            if self.sources.is_fetched(source):
                return  # a package's folders have much that isn't in the image; nothing is added to them
            suffix = os.path.splitext(source)[1]
            self.templates.append(f"template\t{os.path.dirname(self.sources.name(source))}\t{suffix}\t{compiler}\t{number}")
            return
        made = os.stat(target).st_mtime_ns
        names = []
        for path in dependencies(os.path.splitext(target)[0] + ".d"):
            if os.stat(path).st_mtime_ns > made:
                sys.exit(f"record_baseline: {path} changed while the image was made; make it again")
            names.append(self.sources.add(path))
        self.objects.append(target)
        self.units.append(f"unit\t{target}\t{self.sources.name(source)}\t{compiler}\t{number}")
        self.units += [f"from\t{name}" for name in dict.fromkeys(names)]

    def add_package_headers(self, flags):
        """Those of the folders searched, which a patch may come to include."""
        for folder in (flags[index + 1] for index, flag in enumerate(flags[:-1]) if flag == "-I"):
            if self.sources.is_fetched(folder) and folder not in self.searched:
                self.searched.add(folder)
                self.sources.add_folder(folder)

    def lines(self, root, app):
        yield "graft-baseline 1"
        yield f"root\t{root}"
        yield f"fetched\t{self.sources.fetched}"
        if app:
            yield f"app\t{app}"
        yield from compiler_lines(self.compilers)
        for words in self.flags:
            yield "\t".join(("flags", *words))
        yield from self.units
        yield from sorted(set(self.templates))


def link(source, target):
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def keep_sources(sources, folder):
    made = set()
    for name, path in sources.found.items():
        if os.path.isabs(name):
            continue
        target = os.path.join(folder, name)
        parent = os.path.dirname(target)
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        shutil.copy2(path, target)


def main():
    lines, folder, image, link_map, app, fetched, *floors = sys.argv[1:]
    root = os.getcwd()
    outside = app if os.path.isabs(app) else ""
    sources = Sources(root, outside, os.path.abspath(fetched))
    record = Record(sources)
    for line in Path(lines).read_text(encoding="utf-8").splitlines():
        if line.strip():
            record.add(*line.strip().split("\t"))
    for each in (*floors, app):
        sources.add_folder(each)

    new = Path(folder + ".new")
    shutil.rmtree(new, ignore_errors=True)
    keep_sources(sources, new / "sources")
    for target in record.objects:
        there = new / "objects" / target
        there.parent.mkdir(parents=True, exist_ok=True)
        link(target, there)
    link(image, new / "image.elf")
    link(link_map, new / "map")
    (new / "record").write_text("\n".join(record.lines(root, outside)) + "\n", encoding="utf-8")
    old = Path(folder + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if os.path.lexists(folder):
        os.rename(folder, old)
    os.rename(new, folder)
    shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    main()
