#!/usr/bin/env python3
"""The demo image comes up everywhere it should, and `graft run` ends as the guest does."""
import os
import shutil
import signal
import subprocess
from pathlib import Path

from harness import (BUILD, DONE, GRAFT, LIMIT, REFUSED, TIMED_OUT, USAGE, Guest, Skipped, Tests, check, run_graft)

PATCH = str(BUILD / "demo/patches/fix_total.klp")
UEFI_FIRMWARE = Path("/usr/share/ovmf/OVMF.fd")  # Debian's package ovmf

tests = Tests()


def boots(image, *arguments, qemu=()):
    """It comes up, takes a patch and drops it."""
    with Guest(image, *arguments, qemu=qemu) as guest:
        guest.expect(r"till 1 on processor 0: invoice \d+")
        guest.expect(r"till 2 on processor 1: invoice \d+")
        version = guest.graft("cat", "/version").output
        check("build-id" in version or len(version.split()) >= 2, f"/version says {version!r}")
        check(guest.patches() == {}, "a fresh system has patches")
        guest.graft("load", PATCH)
        guest.skip_console()
        guest.expect(r"till 1 on processor 0: invoice \d+[^\n]*right")
        guest.graft("unload", "fix-total")
        guest.skip_console()
        guest.expect(r"till 1 on processor 0: invoice \d+[^\n]*WRONG")
        check(guest.patches() == {}, "the patch hasn't gone")


@tests.add("PVH on q35")
def _():
    boots("demo.elf")


@tests.add("PVH on microvm")
def _():
    boots("demo.elf", "--machine", "microvm")


@tests.add("GRUB from the ISO, BIOS")
def _():
    boots("demo.iso")


@tests.add("GRUB from the ISO, UEFI")
def _():
    if not UEFI_FIRMWARE.exists():
        raise Skipped(f"{UEFI_FIRMWARE} isn't installed")
    boots("demo.iso", qemu=("-bios", str(UEFI_FIRMWARE)))


@tests.add("eight processors")
def _():
    with Guest("demo.elf", "--smp", "8") as guest:
        guest.expect(r"till 2 on processor 1: invoice \d+")
        processors = {task["cpu"] for task in guest.graft("tasks", "--json").json()}
        check(len(processors - {"", "-1", "-"}) == 8, f"tasks are on processors {sorted(processors)}")


@tests.add("one processor")
def _():
    with Guest("demo.elf", "--smp", "1") as guest:
        guest.expect(r"till 2: invoice \d+")


@tests.add("the control tree over a pseudo-terminal")
def _():
    process = subprocess.Popen([str(GRAFT), "run", str(BUILD / "demo.elf"), "--control", "serial:pty"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        path = next(line.split("redirected to ")[1].split()[0] for line in process.stdout if "redirected to" in line)
        result = run_graft("-c", f"serial:{path}", "cat", "/version")
        check(result.code == DONE, str(result))
    finally:
        process.terminate()
        process.communicate()


@tests.add("a patch as a boot module is in force from the start")
def _():
    with Guest("demo.elf", "--module", PATCH) as guest:
        guest.expect(r"till 1[^\n]*right")
        guest.graft("wait")
        check(guest.patches() == {"fix-total": "enabled"}, str(guest.patches()))


@tests.add("gdb sees symbols, source lines and the running code")
def _():
    if not shutil.which("gdb"):
        raise Skipped("gdb isn't installed")
    process = subprocess.Popen([str(GRAFT), "run", str(BUILD / "demo.elf"), "--gdb"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stderr if "target remote" in line)
        target = line.split("'")[1]
        commands = [target, "hbreak app_main", "continue", "backtrace", "info source"]
        session = subprocess.run(["gdb", "-batch", "-nx", *(word for command in commands for word in ("-ex", command)),
                                  str(BUILD / "demo.elf")], capture_output=True, text=True, timeout=LIMIT, check=False)
        check("app_main" in session.stdout and "apps/demo/main.cpp" in session.stdout, session.stdout + session.stderr)
    finally:
        process.terminate()
        process.communicate()


@tests.add("the time limit ends the guest")
def _():
    result = run_graft("--timeout", "2", "run", str(BUILD / "demo.elf"))
    check(result.code == TIMED_OUT, str(result))


@tests.add("what can't be run is refused")
def _():
    check(run_graft("run", "/nonexistent").code == REFUSED, "a missing image")
    check(run_graft("run", str(BUILD / "graft")).code == REFUSED, "a program that is no image")
    check(run_graft("run", str(BUILD / "demo.iso"), "--append", "x").code == USAGE, "--append with an ISO")
    check(run_graft("run", str(BUILD / "demo.elf"), "--machine", "toaster").code == USAGE, "an unknown machine")


@tests.add("a killed `graft run` takes its QEMU with it")
def _():
    with Guest("demo.elf") as guest:
        guest.expect(r"till 1")
        children = subprocess.run(["pgrep", "-P", str(guest.process.pid)], capture_output=True, text=True, check=True)
        child = int(children.stdout.split()[0])
        guest.process.send_signal(signal.SIGKILL)
        guest.wait_end()
        try:
            os.kill(child, 0)
            with open(f"/proc/{child}/stat", encoding="utf-8") as stat:
                check(stat.read().rsplit(")", 1)[1].split()[0] == "Z", "QEMU lives on")
        except (ProcessLookupError, FileNotFoundError):
            pass


tests.run()
