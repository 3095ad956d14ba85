#!/usr/bin/env python3
"""inittext places what only runs at boot, that alone, and finds what doesn't belong: small images of assembly.

usage: inittext_test.py INITTEXT
"""
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path.cwd()
START = """
    .section .boot, "ax"
    .globl graft_start_multiboot2
    .type graft_start_multiboot2, @function
graft_start_multiboot2:
    hlt
    .quad _ZN5graft5startEv
    .size graft_start_multiboot2, . - graft_start_multiboot2
    .section .graft_tables, "a"
    .data
    .quad _ZN5graft7handlerEv
"""
# (function, its body): the start calls the ones that return; `work` is also called by whom data names, and in the end
# the start stays in a loop.
FUNCTIONS = [
    ("_ZN5graft5startEv", "call _ZN5graft4initEv\n call _ZN5graft4workEv\n call init_c\n call _ZN5graft6inlineEv\n"
                          "again: call _ZN5graft4loopEv\n jmp again"),
    ("_ZN5graft4initEv", "call _ZN5graft4partEv\n ret"),
    ("_ZN5graft4partEv", "ret"),
    ("_ZN5graft4workEv", "ret"),
    ("_ZN5graft4loopEv", "ret"),
    ("_ZN5graft7handlerEv", "call _ZN5graft4workEv\n ret"),
    ("init_c", "ret"),
    ("_ZN5graft6inlineEv", "ret"),
]
ONLY_AT_BOOT = ["_ZN5graft4initEv", "_ZN5graft4partEv"]
# Why each of the others stays.
STAY = {
    "_ZN5graft5startEv": "never returns",
    "_ZN5graft4workEv": "is called by a function whose address is taken",
    "_ZN5graft4loopEv": "is called in a loop that never ends",
    "_ZN5graft7handlerEv": "has its address taken",
    "init_c": "isn't Graft's by its name",
    "_ZN5graft6inlineEv": "is weak",
}


def source_of(functions):
    text = START
    for name, body in functions:
        binding = ".weak" if "inline" in name else ".globl"
        text += f"""
    .section .text.{name}, "ax"
    {binding} {name}
    .type {name}, @function
{name}:
    {body}
    .size {name}, . - {name}
"""
    return text


class Image:
    """An image of one object, at a place that says where its source comes from."""

    def __init__(self, folder, functions, floor="kernel", placed=()):
        self.folder = Path(folder)
        code = self.folder / f"build/image/{floor}/t.S.o"
        code.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-c", "-x", "assembler", "-", "-o", str(code)], input=source_of(functions), text=True, check=True)
        lines = "".join(f"*{floor}/t.S.o(.text.{name})\n" for name in placed)
        (self.folder / "init_text.ld").write_text(lines, encoding="utf-8")
        subprocess.run(["ld", "-nostdlib", "-static", "-T", str(ROOT / "linker.ld"), "--build-id=sha1", "-z", "noexecstack",
                        "-Map=t.map", str(code.relative_to(self.folder)), "-o", "t.elf"], cwd=folder, check=True)


class Report:
    def __init__(self, tool):
        self.tool, self.number, self.failed = ROOT / tool, 0, 0

    def ask(self, image, *words):
        done = subprocess.run([self.tool, *words], cwd=image.folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def expect(self, name, good, output):
        self.number += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}")
        if not good:
            print("\n".join("# " + line for line in output.splitlines()))

    def placed(self, name, image, wanted):
        code, output = self.ask(image, "list", "t.elf", "t.map", "out.ld")
        text = (image.folder / "out.ld").read_text(encoding="utf-8") if code == 0 else ""
        found = [line.partition("(.text.")[2].rstrip(")") for line in text.splitlines()]
        self.expect(name, code == 0 and found == sorted(wanted), output + text)

    def checked(self, name, image, wanted):
        code, output = self.ask(image, "check", "t.elf")
        good = output == "inittext: functions=2\n" if wanted is None else wanted in output
        self.expect(name, good and code == (wanted is not None), output)


def main():
    report = Report(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        report.placed("what only runs at boot is placed, and nothing else", Image(folder, FUNCTIONS), ONLY_AT_BOOT)
        report.placed("an application's functions stay", Image(folder, FUNCTIONS, floor="apps"), [])
        two = [*FUNCTIONS[:2], ("_ZN5graft4partEv", "ret\n .globl second\n .type second, @function\nsecond: ret"), *FUNCTIONS[3:]]
        report.placed("a section with two functions stays", Image(folder, two), ["_ZN5graft4initEv"])
        report.checked("an image with what belongs there", Image(folder, FUNCTIONS, placed=ONLY_AT_BOOT), None)
        for name, why in STAY.items():
            report.checked(f"a function is found that {why}", Image(folder, FUNCTIONS, placed=[name]), f"{name} is in .init.text")
        code, output = report.ask(Image(folder, FUNCTIONS), "check", "t.map")
        report.expect("no image", code == 1 and "t.map: not an ELF image" in output, output)
    print(f"1..{report.number}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
