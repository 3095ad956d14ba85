#!/usr/bin/env python3
"""Patches over a damaged serial line: `make link LOADS=50 BAD=10%`.

usage: link.py [--loads N] [--bad SHARE%] [--seed N]

A proxy between the host command and QEMU's serial port loses, doubles or damages that share of the frames in both
directions and puts garbage between frames. Patches are loaded and unloaded through it. Each carries a filler of 1 KiB to
256 KiB of random bytes, whose checksum its constructor writes to the console: so a load counts as whole only if all bytes
have come as they were sent. At the end the line goes dead for good, which the command must say.
"""
import argparse
import os
import random
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from harness import BUILD, NO_CONNECTION, ROOT, Failed, Guest, check, run_graft

LOAD_LIMIT = 600  # seconds for one load; outlasting it counts as stuck

SOURCE = """// Made by tests/qemu/link.py.
#include "apps/demo/invoice.h"
#include "kernel/log.h"
#include "patch/author.h"

GRAFT_PATCH("{name}");

asm(".section .rodata.filler, \\"a\\"\\n"
    "filler_begin: .incbin \\"{filler}\\"\\n"
    "filler_end: .byte 0\\n"
    ".text\\n");
extern "C" {{
[[gnu::visibility("hidden")]] extern const unsigned char filler_begin[];
[[gnu::visibility("hidden")]] extern const unsigned char filler_end[];
}}

namespace demo {{
namespace {{

i64 same_line_amount(const Item& item) {{ return item.net_cents * item.count * (100 + kTaxPercent) / 100; }}

// FNV-1a
[[gnu::constructor]] void tell_checksum() {{
    graft::u32 sum = 2166136261u;
    for (const unsigned char* byte = filler_begin; byte != filler_end; ++byte) sum = (sum ^ *byte) * 16777619u;
    graft::kernel::log_parts(graft::kernel::LogLevel::info, "filler of {name}: ", sum);
}}

}}  // namespace
GRAFT_REPLACE(line_amount, same_line_amount);
}}  // namespace demo
"""


def fnv1a(data):
    total = 2166136261
    for byte in data:
        total = (total ^ byte) * 16777619 & 0xffffffff
    return total


class Proxy(threading.Thread):
    """Passes frames (what lies between zero bytes) on, less what goes wrong. One client at a time, as on a wire."""

    def __init__(self, path, guest_path, bad, seed):
        super().__init__(daemon=True)
        self.guest_path, self.bad, self.random = guest_path, bad, random.Random(seed)
        self.dead = False
        self.counts = dict.fromkeys(("frames", "lost", "doubled", "damaged", "garbage"), 0)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            guest = socket.socket(socket.AF_UNIX)
            guest.connect(self.guest_path)
            with client, guest:
                self.serve(client, guest)

    def serve(self, client, guest):
        selector = selectors.DefaultSelector()
        partial = {client: b"", guest: b""}
        other = {client: guest, guest: client}
        for end in other:
            selector.register(end, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                end = key.fileobj
                try:
                    data = end.recv(4096)
                    if not data:
                        return
                    *frames, partial[end] = (partial[end] + data).split(b"\0")
                    out = b"".join(self.spoil(frame) for frame in frames if frame)
                    if out and not self.dead:
                        other[end].sendall(out)
                except OSError:
                    return

    def spoil(self, frame):
        whole = b"\0" + frame + b"\0"
        self.counts["frames"] += 1
        garbage = b""
        if self.random.random() < self.bad:
            self.counts["garbage"] += 1
            garbage = self.random.randbytes(self.random.randrange(1, 40))
        if self.random.random() >= self.bad:
            return garbage + whole
        kind = self.random.choice(("lost", "doubled", "damaged"))
        self.counts[kind] += 1
        if kind == "lost":
            return garbage
        if kind == "doubled":
            return garbage + whole + whole
        damaged = bytearray(whole)
        damaged[self.random.randrange(len(damaged))] ^= 1 << self.random.randrange(8)
        return garbage + bytes(damaged)


def make_patches(loads, seed):
    """[(path, name, checksum)], fillers from 1 KiB to 256 KiB in equal ratios; equal sizes are made once."""
    folder = BUILD / "link"
    folder.mkdir(exist_ok=True)
    chance = random.Random(seed)
    made = {}
    chosen = []
    for index in range(loads):
        size = round(1024 * 256 ** (index / max(1, loads - 1)))
        step = min(range(9), key=lambda exponent: abs((1024 << exponent) - size))
        if step not in made:
            name = f"link-{1 << step}k"
            filler = folder / f"{name}.bin"
            filler.write_bytes(chance.randbytes(1024 << step))
            source = folder / f"{name}.cpp"
            source.write_text(SOURCE.format(name=name, filler=filler.relative_to(ROOT)), encoding="utf-8")
            subprocess.run(["make", "--no-print-directory", "-s", "patch", f"SRC={source.relative_to(ROOT)}",
                            f"OUT=build/link/{name}.klp", "APP=demo"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            made[step] = (folder / f"{name}.klp", name, fnv1a(filler.read_bytes()))
        chosen.append(made[step])
    chance.shuffle(chosen)
    return chosen


class Outcome:
    def __init__(self):
        self.whole = self.refused = self.corrupted = self.stuck = 0


def load_once(guest, connect, patch, outcome):
    path, name, checksum = patch
    guest.skip_console()
    try:
        result = run_graft("--timeout", str(LOAD_LIMIT), "load", str(path), connect=connect)
        if result.code != 0:
            outcome.refused += 1
            print(result, end="")
            return
        found = guest.expect(rf"filler of {re.escape(name)}: (\d+)")
        if int(found[1]) == checksum:
            outcome.whole += 1
        else:
            outcome.corrupted += 1
        result = run_graft("--timeout", str(LOAD_LIMIT), "unload", name, connect=connect)
        check(result.code == 0, str(result))
    except (subprocess.TimeoutExpired, Failed) as trouble:
        outcome.stuck += 1
        print(f"{name}: {trouble}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--loads", type=int, default=50)
    parser.add_argument("--bad", default="10%")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    bad = float(options.bad.rstrip("%")) / 100
    print(f"seed {options.seed}, {options.bad} of all frames bad, in both directions")

    patches = make_patches(options.loads, options.seed)
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder, Guest("demo.elf") as guest:
        guest.expect("till 1")
        path = os.path.join(folder, "line")
        proxy = Proxy(path, guest.connect.removeprefix("unix:"), bad, options.seed)
        proxy.start()
        for number, patch in enumerate(patches, 1):
            load_once(guest, f"unix:{path}", patch, outcome)
            print(f"{number}: {patch[1]}, {patch[0].stat().st_size} bytes: {outcome.whole} whole", flush=True)
        print(", ".join(f"{name} {count}" for name, count in proxy.counts.items()))
        proxy.dead = True
        dead = run_graft("--timeout", "60", "list", connect=f"unix:{path}")
        print(f"a dead line: exit code {dead.code}, {dead.errors.strip()}")
    print(f"link: loads={options.loads} whole={outcome.whole} refused={outcome.refused} "
          f"corrupted={outcome.corrupted} stuck={outcome.stuck}")
    return 0 if outcome.whole == options.loads and dead.code == NO_CONNECTION else 1


if __name__ == "__main__":
    sys.exit(main())
