#!/usr/bin/env python3
"""The host command against a guest that isn't one (tests/qemu/fake_guest.cpp): every command, exit code and form."""
import os
import signal
import subprocess
import tempfile
import time

from harness import (BUILD, DONE, NO_CONNECTION, NOTHING_TO_DO, REFUSED, ROOT, TIMED_OUT, USAGE, Tests, check,
                     run_graft)

PATCH = str(BUILD / "demo/patches/fix_total.klp")
QUICK = 0.4  # seconds; what takes no longer has not waited for anything

tests = Tests()
subprocess.run(["make", "--no-print-directory", "-s", "build/tools/fake_guest"], cwd=ROOT, check=True)
folder = tempfile.TemporaryDirectory()
socket = os.path.join(folder.name, "guest")
server = subprocess.Popen([str(ROOT / "build/tools/fake_guest"), socket], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
server.stdout.readline()


def graft(*arguments, code=DONE, stdin=""):
    result = run_graft(*arguments, connect=f"unix:{socket}", stdin=stdin)
    check(result.code == code, f"expected exit code {code} of {result}")
    return result


@tests.add("usage")
def _():
    for arguments in ([], ["nonsense"], ["load"], ["list", "extra"], ["load", PATCH, "--nonsense"],
                      ["--timeout", "soon", "list"], ["-c", "nowhere", "list"], ["completion", "fish"]):
        graft(*arguments, code=USAGE)
    check(run_graft("list", connect="").code == USAGE, "no address at all")
    for arguments in (["--help"], ["load", "--help"], ["run", "--help"]):
        check("Usage" in graft(*arguments).output, "help")


@tests.add("completion and manual page")
def _():
    for shell in ("bash", "zsh"):
        script = graft("completion", shell).output
        check("load" in script and "--allow-endless" in script, script)
    subprocess.run(["bash", "-n"], input=graft("completion", "bash").output, text=True, check=True)
    words = subprocess.run(["bash", "-c", 'source /dev/stdin; COMP_WORDS=(graft run --accel ""); COMP_CWORD=3; _graft; '
                            'echo "${COMPREPLY[@]}"'], input=graft("completion", "bash").output, text=True,
                           capture_output=True, check=True).stdout
    check(words.split() == ["kvm", "tcg", "auto"], words)
    page = graft("man").output
    check(page.startswith(".TH") and "allow\\-endless" in page and "EXIT STATUS" in page, page[:200])


@tests.add("load, list, unload")
def _():
    check(graft("list", "--json").json() == [], "not empty")
    output = graft("load", PATCH).output
    check("loaded in" in output and "hook 1" in output, output)
    check([(patch["name"], patch["state"]) for patch in graft("list", "--json").json()] == [("fix-total", "enabled")], "")
    graft("load", PATCH, code=NOTHING_TO_DO)
    check("unloaded in" in graft("unload", "fix-total").output, "")
    graft("unload", "fix-total", code=NOTHING_TO_DO)
    check(graft("load", PATCH, "--quiet").output == "", "--quiet says something")
    graft("unload", "fix-total", "-q")


@tests.add("a refusal has the guest's reason")
def _():
    result = graft("load", __file__, "--name", "bad", code=REFUSED)
    check("not a patch" in result.errors and "bad" in result.errors, result.errors)
    graft("load", "/nonexistent.klp", code=REFUSED)
    graft("cat", "/nonexistent", code=REFUSED)
    graft("cat", "/livepatch", code=REFUSED)
    graft("ls", "/version", code=REFUSED)
    graft("status", "nobody", code=REFUSED)


@tests.add("a held transition: blocking, wait, reverse")
def _():
    graft("load", PATCH, "--name", "held", "--no-wait")
    check(graft("blocking", "--json").json()[0]["name"] == "worker", "")
    check("worker" in graft("blocking", "held").output, "")
    graft("--timeout", "200ms", "wait", "held", code=TIMED_OUT)
    waiting = subprocess.Popen([str(BUILD / "graft"), "-c", f"unix:{socket}", "--timeout", "20", "reverse", "held", "--json"],
                               stdout=subprocess.PIPE, text=True)
    output, _ = waiting.communicate(timeout=30)
    check(waiting.returncode == DONE and '"unloaded"' in output, output)
    graft("reverse", "held", code=NOTHING_TO_DO)
    graft("wait")


@tests.add("waiting takes as long as the transition, and no poll's interval more")
def _():
    start = time.monotonic()
    graft("load", PATCH, "--name", "slow")
    took = time.monotonic() - start
    check(1.5 <= took < 1.5 + QUICK, f"took {took:.2f} s")
    graft("unload", "slow", "--no-wait")
    graft("wait")


@tests.add("status, history, tasks, metrics, log, ls, cat, write")
def _():
    graft("load", PATCH)
    status = graft("status", "--json").json()
    check(status["patches"][0]["functions"][0]["patched"] is True, str(status))
    check("fix-total: enabled" in graft("status").output, "status")
    graft("write", "/livepatch/fix-total/enabled", "0")
    graft("wait", "fix-total", code=DONE)
    graft("wait")
    graft("write", "/version", "x", code=REFUSED)
    events = [record["event"] for record in graft("history", "--json").json()]
    check(events.count("loaded") >= 3 and "refused" in events, str(events))
    check(len(graft("tasks", "--json").json()) == 3, "tasks")
    check("graft_patches 0" in graft("metrics").output, "metrics")
    check("fake guest started" in graft("log").output, "log")
    check("version\n" in graft("ls").output and "livepatch/\n" in graft("ls", "/").output, "ls")
    check(graft("cat", "/version", "/tainted").output == "fake guest\n0\n", "cat")
    check(graft("cat", "--json", "/version").json() == {"/version": "fake guest\n"}, "cat --json")
    check("bytes" in graft("plan", PATCH).output, "plan")


@tests.add("log -f gives lines as they come")
def _():
    follower = subprocess.Popen([str(BUILD / "graft"), "-c", f"unix:{socket}", "log", "-f"], stdout=subprocess.PIPE,
                                text=True)
    check("fake guest started" in follower.stdout.readline(), "the first line")
    follower.send_signal(signal.SIGTERM)
    follower.communicate(timeout=10)
    closed = subprocess.run(f"{BUILD / 'graft'} -c unix:{socket} log | head -1", shell=True, capture_output=True, text=True,
                            check=True)
    check(closed.stderr == "", closed.stderr)


@tests.add("inspect needs no guest")
def _():
    data = run_graft("inspect", "--json", PATCH).json()
    check(data["name"] == "fix-total" and len(data["functions"]) == 3, str(data))
    check(sum(function["held"] for function in data["functions"]) == 1, str(data))
    check(run_graft("inspect", __file__).code == REFUSED, "no patch")


@tests.add("a guest that is gone")
def _():
    server.kill()
    server.wait()
    graft("list", code=NO_CONNECTION)


with folder:
    try:
        tests.run()
    finally:
        server.kill()
