#!/usr/bin/env python3
"""Harm from outside: hostile clients, noise on the line, nonsense on the command line, boot modules that are none."""
import os
import random
import subprocess
import tempfile
from pathlib import Path

from harness import BUILD, REFUSED, Guest, Tests, check, run_graft

PATCH = BUILD / "demo/patches/fix_total.klp"
SECONDS = os.environ.get("HOSTILE_SECONDS", "10")
SEED = os.environ.get("HOSTILE_SEED", str(random.randrange(1, 1 << 32)))

tests = Tests()
folder = tempfile.TemporaryDirectory()


def file(name, content):
    path = Path(folder.name) / name
    path.write_bytes(content)
    return str(path)


def works(guest):
    """The system takes a patch and gives it back."""
    guest.graft("load", str(PATCH))
    guest.graft("unload", "fix-total")
    check(guest.patches() == {}, str(guest.patches()))


def used(guest):
    return {name: value for name, value in guest.metrics().items() if name in ("graft_tasks", "graft_records_objects", "graft_code_regions")}


@tests.add(f"hostile sessions (seed {SEED})")
def _():
    with Guest("demo.elf", "--smp", "2") as guest:
        works(guest)
        before = used(guest)
        done = subprocess.run([str(BUILD / "tools/hostile"), guest.connect, SEED, SECONDS], capture_output=True, text=True,
                              check=False)
        check(done.returncode == 0, f"{done.stdout}{done.stderr}")
        print(f"# {done.stdout.strip()}")
        check("panic" not in guest.console, guest.console[-2000:])
        check(guest.patches() == {}, f"something was loaded: {guest.patches()}")
        check(used(guest) == before, f"{before} became {used(guest)}")
        works(guest)


NONSENSE = ("smp=0", "smp=-1", "smp=99999999999999999999", "smp=", "=", "==", "smp", "loglevel=loud", "patches=perhaps",
            "panic=never", "exit=maybe", "control=sometimes", "console=", "\u00e4\u00f6\u00fc", "'\"'\"", "%n%s%p", "a=b=c=d", "pace=fast", "x" * 1900)


@tests.add("nonsense on the command line")
def _():
    words = " ".join(NONSENSE)
    with Guest("demo.elf", append=words) as guest:
        guest.expect("the command line was cut|till 1")
        works(guest)
        check("the command line was cut" in guest.graft("log").output, "nobody says that it was cut")


@tests.add("a huge boot module, noise and half a patch are refused, and the system starts")
def _():
    for name, content in {"huge": bytes(5 << 20), "noise": random.Random(1).randbytes(100_000),
                          "half": PATCH.read_bytes()[:2000]}.items():
        with Guest("demo.elf", "--module", file(name, content)) as guest:
            guest.expect("boot patch .unnamed. refused: [^\n]+")
            works(guest)


@tests.add("what is no file, or an empty one, isn't started with")
def _():
    for name, reason in (("/nonexistent.klp", "No such file"), (folder.name, "not a file"), (file("empty", b""), "empty")):
        result = run_graft("run", str(BUILD / "demo.elf"), "--module", name)
        check(result.code == REFUSED and f"{name}: {reason}" in result.errors, str(result))


tests.run()
