#!/usr/bin/env python3
"""Bad input over the wire: each is refused with its reason, and the system is as it was."""
import tempfile
import time
from pathlib import Path

from harness import BUILD, KEY, REFUSED, USAGE, Guest, Tests, check, run_graft

PATCH = (BUILD / "demo/patches/fix_total.klp").read_bytes()
ENVELOPE = 104

tests = Tests()
guest = Guest("demo.elf")
folder = tempfile.TemporaryDirectory()


def with_envelope(elf):
    envelope = bytearray(PATCH[-ENVELOPE:])
    envelope[16:24] = len(elf).to_bytes(8, "little")
    return bytes(elf) + bytes(envelope)


def changed(at, value, data=PATCH):
    return data[:at] + bytes(value) + data[at + len(value):]


def state():
    """What a refusal must not change. Free pages change as the kernel's caches grow; they are compared at the end."""
    metrics = {name: value for name, value in guest.metrics().items()
               if any(word in name for word in ("heap", "patch", "code", "records"))}
    return guest.graft("ls", "/livepatch").output, metrics


def await_standing():
    """The application's first task ends when it has made the others; until then it holds memory that it gives back."""
    end = time.monotonic() + 60
    while any(task["name"] == "main" for task in guest.graft("tasks", "--json").json()):
        check(time.monotonic() < end, "the application's first task doesn't end")
        time.sleep(0.1)


def write_signed(path, content):
    """The bytes with a good signature, so that the checks behind it are reached; as they are where there is no envelope."""
    path.write_bytes(content)
    run_graft("sign", str(path), "--key", str(KEY))


def refused(content, words, *options, signed=True):
    """The load is refused, the reason holds one of the words, and nothing has changed."""
    path = Path(folder.name) / "bad.klp"
    if signed:
        write_signed(path, content)
    else:
        path.write_bytes(content)
    before = state()
    result = guest.graft("load", str(path), "--name", "bad", *options, code=REFUSED)
    check(any(word in result.errors for word in words), f"none of {words} in: {result.errors}")
    after = state()
    check(before == after, f"changed by a refusal: {before} -> {after}")


def metadata_at(name=b"GRPM"):
    return PATCH.index(name)


CASES = {
    "an empty file": (b"", ["patch", "short", "empty"]),
    "no patch at all": (b"hello world\n" * 100, ["patch"]),
    "cut off in the middle": (PATCH[:len(PATCH) // 2], ["patch"]),
    "cut off by a byte": (PATCH[:-1], ["patch"]),
    "an envelope of another version": (changed(len(PATCH) - ENVELOPE + 8, b"\x07"), ["envelope"]),
    "a wrong object size": (changed(len(PATCH) - ENVELOPE + 16, b"\x01\x02"), ["envelope", "size"]),
    "another format version": (changed(metadata_at() + 4, b"\x63"), ["format", "version"]),
    "another build": (changed(metadata_at() + 12, b"\x00\x00\x00\x00"), ["build"]),
    "no ELF": (with_envelope(b"\x00" * 400), ["object", "ELF", "elf"]),
    "another machine": (changed(18, b"\xb7"), ["machine"]),
    "a section table outside the file": (changed(40, b"\xff\xff\xff\x7f"), ["section"]),
}

AS_THEY_ARE = {
    "no signature": (PATCH[:-80] + bytes(80), ["not signed"]),
    "a key that the image doesn't have": (changed(len(PATCH) - ENVELOPE + 24, b"\x55"), ["key that this image doesn't have"]),
    "another signature": (changed(len(PATCH) - 1, bytes([PATCH[-1] ^ 1])), ["signature is wrong"]),
    "a changed byte in front": (changed(0, b"\x00"), ["signature is wrong"]),
    "a changed byte in the middle": (changed(len(PATCH) // 2, bytes([PATCH[len(PATCH) // 2] ^ 0x40])), ["signature is wrong"]),
    "a changed build-id, as a forger would": (changed(PATCH.index(b"GRPM") + 12, bytes(20)), ["signature is wrong"]),
}

await_standing()
for name, (content, words) in AS_THEY_ARE.items():
    tests.add(name)(lambda content=content, words=words: refused(content, words, signed=False))


@tests.add("what nobody vouches for is counted and not recorded")
def _():
    def counted():
        return guest.metrics()["graft_unauthenticated_refusals_total"]
    before, records = counted(), guest.graft("history").output
    refused(AS_THEY_ARE["no signature"][0], ["not signed"], signed=False)
    check(counted() == before + 1, f"{before} -> {counted()}")
    check(guest.graft("history").output == records, "a record of it")


for name, (content, words) in CASES.items():
    tests.add(name)(lambda content=content, words=words: refused(content, words))


@tests.add("all of them again take no page")
def _():
    before = guest.metrics()["graft_pages_free"]
    for content, words in CASES.values():
        refused(content, words)
    after = guest.metrics()["graft_pages_free"]
    check(before == after, f"free pages: {before} -> {after}")


@tests.add("every byte of the object's head flipped is refused or harmless")
def _():
    path = Path(folder.name) / "bad.klp"
    for at in range(0, 64, 7):
        write_signed(path, changed(at, bytes([PATCH[at] ^ 0xff])))
        result = guest.graft("load", str(path), "--name", "flipped", code=None)
        check(result.code in (0, REFUSED), str(result))
        if result.code == 0:
            guest.graft("unload", "flipped")


@tests.add("no patch, by `write`")
def _():
    result = guest.graft("write", "/livepatch/text.klp", "x", code=REFUSED)
    check("text" in result.errors, result.errors)


@tests.add("a name that isn't one")
def _():
    path = Path(folder.name) / "bad.klp"
    path.write_bytes(PATCH)
    for name in ("-x", "a b", "x" * 201):
        result = guest.graft("load", f"--name={name}", str(path), code=REFUSED)
        check("name" in result.errors or "too long" in result.errors, result.errors)


@tests.add("options are the client's that wrote them")
def _():
    guest.graft("write", "/livepatch/opt.opt", "color=red", code=None)
    path = Path(folder.name) / "bad.klp"
    path.write_bytes(PATCH)
    guest.graft("load", str(path), "--name", "opt")
    guest.graft("unload", "opt")


@tests.add("files that can't be written, made or found")
def _():
    guest.graft("write", "/version", "x", code=REFUSED)
    guest.graft("write", "/new", "x", code=REFUSED)
    guest.graft("write", "/livepatch/x.txt", "x", code=REFUSED)
    guest.graft("cat", "/livepatch/none/enabled", code=REFUSED)
    guest.graft("ls", "/tasks/999999999", code=REFUSED)
    guest.graft("load", code=USAGE)


@tests.add("a good patch still loads")
def _():
    path = Path(folder.name) / "good.klp"
    path.write_bytes(PATCH)
    guest.graft("load", str(path))
    guest.graft("unload", "fix-total")


with guest, folder:
    tests.run()
