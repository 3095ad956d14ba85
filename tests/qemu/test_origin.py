#!/usr/bin/env python3
"""Who vouches for patches, on a running system; keys and signatures of the host command; ISOs that come up patched."""
import re
import stat
import subprocess
import tempfile
from pathlib import Path

from harness import BUILD, KEY, REFUSED, USAGE, Guest, Skipped, Tests, check, run_graft, shown

PATCH = BUILD / "demo/patches/fix_total.klp"
PUBLIC = KEY.with_suffix(".pub")
ENVELOPE = 104
UEFI_FIRMWARE = Path("/usr/share/ovmf/OVMF.fd")  # Debian's package ovmf

tests = Tests()
folder = tempfile.TemporaryDirectory()


def path(name):
    return Path(folder.name) / name


def variant(name, change=None, key=KEY):
    """A copy of the patch: changed, then signed."""
    content = bytearray(PATCH.read_bytes())
    if change:
        change(content)
    path(name).write_bytes(content)
    if key:
        check(run_graft("sign", str(path(name)), "--key", str(key)).code == 0, "sign")
    return str(path(name))


def spoil_build_id(content):
    at = content.index(b"GRPM") + 12
    content[at:at + 20] = bytes(20)


def spoil_format(content):
    content[content.index(b"GRPM") + 4] = 99


def strip_signature(content):
    content[-ENVELOPE + 24:] = bytes(80)


@tests.add("keygen makes a pair, secret and public, and overwrites nothing")
def _():
    made = run_graft("keygen", "-o", str(path("mine")))
    check(made.code == 0 and "mine" in made.output, str(made))
    check(stat.S_IMODE(path("mine.key").stat().st_mode) == 0o600, "rights of the secret key")
    before = path("mine.key").read_bytes()
    for kept in ("mine.key", "mine.pub"):
        again = run_graft("keygen", "-o", str(path("mine")))
        check(again.code == REFUSED and "exists" in again.errors, str(again))
        check(path("mine.key").read_bytes() == before, "overwritten")
        path(kept).rename(path("aside"))
        if kept == "mine.key":  # the other half alone is reason enough, and no half pair is left
            check(run_graft("keygen", "-o", str(path("mine"))).code == REFUSED, "mine.pub was overwritten")
            check(not path("mine.key").exists(), "half a pair is left")
        path("aside").rename(path(kept))
    check(run_graft("keygen", "-o", str(path("no name"))).code == REFUSED, "a bad name")


@tests.add("inspect tells the signer, and a changed byte")
def _():
    signed = variant("signed.klp")
    known = run_graft("inspect", signed, "--keys", str(KEY.parent))
    check(known.code == 0 and "yes, by development" in known.output, str(known))
    check("not checked" in run_graft("inspect", signed).output, "without keys")
    check(run_graft("inspect", signed, "--keys", str(path("mine.pub"))).code == REFUSED, "another's key")
    content = bytearray(Path(signed).read_bytes())
    content[len(content) // 2] ^= 1
    path("changed.klp").write_bytes(content)
    changed = run_graft("inspect", str(path("changed.klp")), "--keys", str(PUBLIC))
    check(changed.code == REFUSED and "changed" in changed.errors, str(changed))
    check("signed" in run_graft("inspect", variant("plain.klp", strip_signature, None)).output, "an unsigned one")


@tests.add("a development image says whom it trusts")
def _():
    with Guest("demo.elf") as guest:
        tainted = guest.graft("cat", "/tainted").output
        check(tainted.startswith("development-key\t") and tainted.count("\n") == 1, tainted)
        log = guest.graft("log").output
        check("trusted key: development" in log and "tainted:" in log, log)
        guest.graft("load", str(PATCH))
        check(guest.graft("cat", "/livepatch/fix-total/signer").output == "development\n", "signer")
        check("signer=development" in guest.graft("cat", "/history").output, "the signer in the history")
        check(guest.graft("status", "fix-total", "--json").json()["signer"] == "development", "status")
        mine = guest.graft("load", variant("mine.klp", key=path("mine.key")), "--name", "mine", code=REFUSED)
        check("key that this image doesn't have" in mine.errors, str(mine))
        planned = guest.graft("plan", str(path("mine.klp")), code=REFUSED)
        check("key that this image doesn't have" in planned.output + planned.errors, str(planned))


def tampered():
    content = bytearray(PATCH.read_bytes())
    content[len(content) // 2] ^= 1
    path("tampered.klp").write_bytes(content)
    return str(path("tampered.klp"))


def bake(*patches, base="demo.iso", out="baked.iso", code=0, options=()):
    result = run_graft("bake", str(BUILD / base), *patches, "-o", str(path(out)), *options)
    check(result.code == code, f"expected {code}: {result}")
    return result


def boots_patched(iso, firmware=()):
    with Guest(iso, qemu=firmware) as guest:
        guest.expect("trusted key")
        first = guest.expect(r"till \d+[^\n]*(right|WRONG)")
        check(first.group(1) == "right", f"the application's first line: {shown(guest)}")
        check(guest.patches() == {"fix-total": "enabled"}, str(guest.patches()))


@tests.add("a baked ISO comes up patched before the application starts, each time")
def _():
    bake(str(PATCH))
    for _ in range(2):
        boots_patched(str(path("baked.iso")))


@tests.add("and under UEFI")
def _():
    if not UEFI_FIRMWARE.exists():
        raise Skipped(f"{UEFI_FIRMWARE} isn't installed")
    boots_patched(str(path("baked.iso")), ("-bios", str(UEFI_FIRMWARE)))


@tests.add("bake refuses what doesn't fit, and leaves no file")
def _():
    cases = {
        variant("unsigned.klp", strip_signature, None): "not signed",
        variant("other-key.klp", key=path("mine.key")): "key that the image doesn't have",
        variant("other-build.klp", spoil_build_id): "made for another image",
        variant("other-format.klp", spoil_format): "format",
        str(KEY): "envelope",
        str(path("missing.klp")): "No such file",
    }
    cases[tampered()] = "changed"
    for patch, reason in cases.items():
        result = bake(patch, out="none.iso", code=REFUSED)
        check(reason in result.errors, f"{reason}: {result}")
    twice = bake(str(PATCH), str(PATCH), out="none.iso", code=REFUSED)
    check("fix-total" in twice.errors, str(twice))
    again = run_graft("bake", str(path("baked.iso")), str(PATCH), "-o", str(path("none.iso")))
    check(again.code == REFUSED and "fix-total" in again.errors, str(again))
    check(run_graft("bake", str(PATCH), str(PATCH), "-o", str(path("none.iso"))).code == REFUSED, "no ISO")
    same = run_graft("bake", str(path("baked.iso")), str(PATCH), "-o", str(path("baked.iso")))
    check(same.code == USAGE, str(same))
    left = [file.name for file in Path(folder.name).iterdir() if "none" in file.name or ".part" in file.name]
    check(not left, f"left behind: {left}")


def spoil_baked(out):
    """The baked ISO with a tampered patch in it, as nobody could bake it."""
    name = subprocess.run(["xorriso", "-indev", str(path("baked.iso")), "-find", "/boot/patches", "-type", "f"],
                          capture_output=True, text=True, check=True).stdout.strip().strip("'")
    subprocess.run(["xorriso", "-indev", str(path("baked.iso")), "-outdev", str(path(out)), "-boot_image", "any", "replay",
                    "-hfsplus", "off", "-map", tampered(), name, "-commit"], capture_output=True, check=True)


@tests.add("a baked patch that is refused is reported, and the boot goes on")
def _():
    bake(str(PATCH))
    spoil_baked("spoiled.iso")
    with Guest(str(path("spoiled.iso"))) as guest:
        guest.expect(r"till 1[^\n]*WRONG")
        check(guest.patches() == {}, str(guest.patches()))
        history = guest.graft("cat", "/history").output
        check(re.search(r"\trefused\tfix-total.klp\treason=.*signature is wrong", history), history)


@tests.add("unless it is required")
def _():
    bake(str(PATCH), out="required.iso", options=("--required",))
    boots_patched(str(path("required.iso")))
    path("baked.iso").unlink(missing_ok=True)
    path("required.iso").rename(path("baked.iso"))
    spoil_baked("required-spoiled.iso")
    with Guest(str(path("required-spoiled.iso"))) as guest:
        guest.expect(r"panic: boot patch fix-total.klp refused: [^\n]*signature is wrong")
        check("till 1" not in guest.console, shown(guest))
    with Guest("demo.elf", "--module", tampered(), append="patches=required panic=exit") as guest:
        guest.expect("boot patch .unnamed. refused")
        check(guest.wait_end() != 0, "it should end badly")


with folder:
    tests.run()
