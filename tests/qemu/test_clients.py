#!/usr/bin/env python3
"""Clients that come, vanish and come again; a guest that restarts under a client."""
import json
import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from harness import BUILD, LIMIT, NO_CONNECTION, TIMED_OUT, Guest, Tests, check, run_graft

PATCH = BUILD / "demo/patches/fix_total.klp"

tests = Tests()
folder = tempfile.TemporaryDirectory()
monitor = os.path.join(folder.name, "monitor")
guest = Guest("demo.elf", qemu=("-qmp", f"unix:{monitor},server=on,wait=off", "-action", "reboot=reset"))


def reset_machine():
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT)
        connection.connect(monitor)
        lines = connection.makefile("rw")
        lines.readline()
        for command in ("qmp_capabilities", "system_reset"):
            lines.write(json.dumps({"execute": command}) + "\n")
            lines.flush()
            lines.readline()


def free_memory():
    return {name: value for name, value in guest.metrics().items() if "free" in name or "heap" in name}


@tests.add("one client after the other")
def _():
    for _ in range(5):
        guest.graft("cat", "/version")


def vanish_in_upload():
    """A client begins to send a patch of two megabytes and is killed."""
    large = Path(folder.name) / "large.klp"
    large.write_bytes(PATCH.read_bytes() + b"\0" * 2_000_000)
    with guest.start_graft("load", str(large), "--name", "large", stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL) as client:
        try:
            client.wait(3)
        except subprocess.TimeoutExpired:
            pass
        check(client.poll() is None, "the upload ended too early to be interrupted")
        client.send_signal(signal.SIGKILL)


@tests.add("a client that vanishes in the middle of an upload leaves nothing")
def _():
    vanish_in_upload()
    check(guest.patches() == {}, "half a patch is there")
    before = free_memory()  # the first upload may have made the kernel's caches grow
    vanish_in_upload()
    check(guest.patches() == {}, "half a patch is there")
    after = free_memory()
    check(before == after, f"memory: {before} -> {after}")


@tests.add("a client that is stopped for a while is served again")
def _():
    with guest.start_graft("log", "-f", stdout=subprocess.PIPE) as client:
        client.stdout.readline()
        client.send_signal(signal.SIGSTOP)
        client.send_signal(signal.SIGCONT)
        client.terminate()
    guest.graft("load", str(PATCH))
    guest.graft("unload", "fix-total")


@tests.add("a second client gets no answer while the first is attached")
def _():
    with guest.start_graft("log", "-f", stdout=subprocess.PIPE) as first:
        first.stdout.readline()
        result = run_graft("--timeout", "1", "list", connect=guest.connect)
        check(result.code in (TIMED_OUT, NO_CONNECTION), str(result))
        first.terminate()
    guest.graft("list")


@tests.add("a client sees that the guest has restarted, and the next one works")
def _():
    with guest.start_graft("log", "-f", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        client.stdout.readline()
        guest.skip_console()
        reset_machine()
        guest.expect(r"till 1 on processor 0: invoice 1\b")
        _, errors = client.communicate(timeout=LIMIT)
        check(client.returncode == NO_CONNECTION, f"exit code {client.returncode}: {errors}")
    guest.graft("load", str(PATCH))
    guest.graft("unload", "fix-total")


@tests.add("nobody there")
def _():
    check(run_graft("list", connect=f"unix:{folder.name}/nobody").code == NO_CONNECTION, "a missing socket")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder.name}/silent")
        silent.listen()
        result = run_graft("list", connect=f"unix:{folder.name}/silent")
        check(result.code == NO_CONNECTION and "nobody answers" in result.errors, str(result))
        check(run_graft("--timeout", "500ms", "list", connect=f"unix:{folder.name}/silent").code == TIMED_OUT, "timeout")


@tests.add("the guest's end is told")
def _():
    with guest.start_graft("log", "-f", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        client.stdout.readline()
        guest.end()
        _, errors = client.communicate(timeout=LIMIT)
        check(client.returncode == NO_CONNECTION, f"exit code {client.returncode}: {errors}")


with guest, folder:
    tests.run()
