#!/usr/bin/env python3
"""Does what docs/your-own-application.md tells the reader to do, in a temporary folder, and sees what it says one sees.

The page's code blocks, by what stands behind their opening fence:
  cpp                   a file, which the first line names: `// PATH`
  sh                    commands for the reader's own terminal
  text                  what the commands before it print, among other things; … stands for anything
  sh first terminal     a command that goes on running: the system
  text first terminal   what is on the system's console from then on, among other things
Each block is one test.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qemu"))

from harness import ROOT, Failed, Guest, Tests, check, shown

PAGE = ROOT / "docs/your-own-application.md"
BLOCK = re.compile(r"^```(\S[^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KINDS = ("cpp", "sh", "text", "sh first terminal", "text first terminal")
COMMAND_LIMIT = 900  # seconds; a hang detector: the first command builds an image


class System(Guest):
    """What runs in the first terminal: a `graft run` as the page writes it."""

    def __init__(self, command, folder, environment):
        words = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], cwd=folder, env=environment,
                               capture_output=True, text=True, check=True).stdout.split("\0")
        check(words[1:2] == ["run"] and Path(words[0]).name == "graft", f"not a `graft run`: {command}")
        super().__init__(words[2], *words[3:-1])


class Reader:
    """Follows the page."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.environment = {**os.environ, "GRAFT": str(ROOT)}
        for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "APP", "OPT"):
            self.environment.pop(name, None)  # the reader isn't a make
        self.output = ""
        self.system = None

    def follow(self, kind, text):
        {"cpp": self.write, "sh": self.run, "text": self.see_output, "sh first terminal": self.start,
         "text first terminal": self.see_console}[kind](text)

    def write(self, text):
        name = re.match(r"// (\S+)\n", text)
        check(name, f"the block's first line doesn't name a file: {text.splitlines()[0]}")
        (self.folder / name[1]).write_text(text, encoding="utf-8")

    def run(self, text):
        if self.system:
            self.environment["GRAFT_CONNECT"] = self.system.connect
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_LIMIT, check=False)
        self.output = done.stdout + done.stderr
        check(done.returncode == 0, f"exit code {done.returncode} of\n{text}{self.output}")
        if self.system:
            self.system.skip_console()

    def see_output(self, text):
        for line in text.splitlines():
            check(re.search(pattern_of(line), self.output), f"no line '{line}' in\n{self.output}")

    def start(self, text):
        check(self.system is None, "the first terminal is taken")
        self.system = System(text.strip(), self.folder, self.environment)

    def see_console(self, text):
        for line in text.splitlines():
            try:
                self.system.expect(pattern_of(line) + r"\n")
            except Failed as failure:
                raise Failed(f"{failure}\n{shown(self.system)}") from failure

    def end(self):
        if self.system:
            self.system.end()


def pattern_of(line):
    words = r" +".join(re.escape(word) for word in line.replace("…", " … ").split())
    return re.sub(r"( \+)?…( \+)?", ".*", words)


def title(kind, text):
    return f"{kind}: {text.strip().splitlines()[0]}"


def main():
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    tests = Tests()
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(folder)
        for kind, text in blocks:
            assert kind in KINDS, f"{PAGE.name}: a block of unknown kind '{kind}'"
            tests.add(title(kind, text))(lambda kind=kind, text=text: reader.follow(kind, text))
        try:
            tests.run()
        finally:
            reader.end()


if __name__ == "__main__":
    main()
