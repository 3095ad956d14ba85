#!/usr/bin/env python3
"""Images that trust others than the published development key: `make KEYS=…`, `make UNSIGNED=serial`.

They are made in a copy of the tree from the objects that are there: an image's keys are in one object of their own.
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import KEY, REFUSED, ROOT, Guest, Tests, check, run_graft

sys.path.insert(0, str(ROOT / "tests/build"))
from elsewhere import HOST_TOOLS, copy_tree  # noqa: E402

ENVELOPE = 104
PATCH = "build/demo/patches/fix_total.klp"

tests = Tests()
folder = tempfile.TemporaryDirectory()
tree = Path(folder.name, "tree")


def keygen(name):
    check(run_graft("keygen", "-o", str(Path(folder.name, name))).code == 0, f"keygen {name}")
    return Path(folder.name, f"{name}.key"), Path(folder.name, f"{name}.pub")


def make(*settings, code=0):
    """The image, and a patch for it, with these settings; the result of make."""
    environment = {**os.environ, "SOURCES_DIR": os.environ.get("SOURCES_DIR", str(ROOT / "build-sources"))}
    done = subprocess.run(["make", "--no-print-directory", "-C", str(tree), "build/demo.elf", PATCH, *settings], capture_output=True,
                          text=True, env=environment, close_fds=False, check=False)  # make's job server
    check((done.returncode == 0) == (code == 0), f"make {' '.join(settings)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def variant(name, key, change=None):
    """The patch under a name of its own, unsigned without a key; `change` spoils it after that."""
    content = bytearray((tree / PATCH).read_bytes())
    content[-ENVELOPE + 24:] = bytes(80)
    path = Path(folder.name, f"{name}.klp")
    path.write_bytes(content)
    if key:
        check(run_graft("sign", str(path), "--key", str(key)).code == 0, "sign")
    if change:
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(content)
    return str(path)


def spoil(content):
    content[len(content) // 2] ^= 1


def refused(guest, patch, reason):
    result = guest.graft("load", patch, code=REFUSED)
    check(reason in result.errors, f"expected '{reason}': {result}")
    check(guest.patches() == {}, str(guest.patches()))


def loads(guest, patch, signer):
    guest.graft("load", patch)
    found = guest.graft("cat", "/livepatch/fix-total/signer").output
    check(found == signer, f"signer: {found!r}, expected {signer!r}")
    guest.graft("unload", "fix-total")


@tests.add("an image with two keys of its own takes both, and not the development key")
def _():
    tree.mkdir()
    os.chdir(ROOT)
    copy_tree(tree, *HOST_TOOLS, "image")
    (release, release_pub), (spare, spare_pub) = keygen("release"), keygen("spare")
    make(f"KEYS={release_pub} {spare_pub}", f"SIGN={release}")
    with Guest(str(tree / "build/demo.elf")) as guest:
        log = guest.graft("log").output
        check("trusted key: release" in log and "trusted key: spare" in log and "development" not in log, log)
        tainted = guest.graft("cat", "/tainted").output
        check(tainted == "0\n", f"tainted: {tainted!r}")
        refused(guest, variant("developed", KEY), "key that this image doesn't have")
        refused(guest, variant("plain", None), "not signed")
        refused(guest, variant("spoiled", release, spoil), "signature is wrong")
        loads(guest, str(tree / PATCH), "release\n")
        loads(guest, variant("spared", spare), "spare\n")


@tests.add("an image without keys takes no patch, and says so")
def _():
    make("KEYS=", "SIGN=")
    with Guest(str(tree / "build/demo.elf")) as guest:
        check("no trusted key is built in" in guest.graft("log").output, "the log")
        for patch, reason in ((variant("developed", KEY), "key that this image doesn't have"), (variant("plain", None), "not signed")):
            refused(guest, patch, reason)


@tests.add("an image for unsigned patches takes them on its serial line only, and says so")
def _():
    make("KEYS=", "SIGN=", "UNSIGNED=serial")
    plain = variant("plain", None)
    image = str(tree / "build/demo.elf")
    with Guest(image) as guest:
        tainted = guest.graft("cat", "/tainted").output
        check(tainted.startswith("unsigned-patches\t") and tainted.count("\n") == 1, tainted)
        check("tainted: unsigned patches" in guest.graft("log").output, "the log")
        refused(guest, variant("developed", KEY), "key that this image doesn't have")
        loads(guest, plain, "\n")
    with Guest(image, "--module", plain) as guest:  # what a boot loader brings is no serial line
        check(guest.patches() == {}, str(guest.patches()))
        check("not signed" in guest.graft("history").output, "the history")


@tests.add("keys that are none stop the build, and say what was expected")
def _():
    broken = Path(folder.name, "broken.pub")
    broken.write_text("graft-public-key broken 1234\n", encoding="utf-8")
    for settings, reason in (
            ((f"KEYS={broken}",), "expected one line 'graft-public-key NAME DIGITS'"),
            ((f"KEYS={folder.name}/absent.pub",), "absent.pub"),
            (("UNSIGNED=network",), "only UNSIGNED=serial is there")):
        done = make(*settings, code=1)
        check(reason in done.stdout + done.stderr, f"expected '{reason}': {done.stdout[-500:]}{done.stderr[-500:]}")


with folder:
    tests.run()
