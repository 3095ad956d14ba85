#!/usr/bin/env python3
"""Writes the compile databases from a list of lines `source TAB command`.

usage: compile_commands.py LIST FOR-GCC FOR-CLANG
"""
import json
import os
import shlex
import sys

# What clang rejects or does not know.
REJECTED = {"-mnop-mcount", "-flive-patching=inline-clone", "-fno-ipa-sra", "-fno-ipa-cp", "-fno-partial-inlining",
            "-fno-reorder-blocks-and-partition", "-fno-gnu-unique", "-Werror", "-Werror=date-time", "-pg", "-mfentry",
            "-mgeneral-regs-only", "-fno-tree-loop-distribute-patterns"}


def main():
    source_list, for_gcc, for_clang = sys.argv[1:4]
    records = {for_gcc: [], for_clang: []}
    with open(source_list, encoding="utf-8") as lines:
        for line in lines:
            if "\t" not in line:
                continue
            source, command = line.strip().split("\t")
            words = shlex.split(command) + ["-c", source]
            records[for_gcc].append({"directory": os.getcwd(), "file": source, "arguments": words})
            language = "clang-19" if source.endswith(".c") else "clang++-19"
            words = [language] + [word for word in words[1:] if word not in REJECTED]
            records[for_clang].append({"directory": os.getcwd(), "file": source, "arguments": words})
    for path, content in records.items():
        with open(path, "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1)


if __name__ == "__main__":
    main()
