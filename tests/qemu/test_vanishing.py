#!/usr/bin/env python3
"""Nodes that go away: within the very write that asked for it, while others are open, and when the client vanishes."""
import signal
import subprocess

from harness import BUILD, Guest, Tests, check

PATCH = str(BUILD / "demo/patches/fix_total.klp")
NODE = "/livepatch/fix-total"

tests = Tests()
guest = Guest("demo.elf", append="pace=200")  # the desk is inside a function that the patch replaces for a second


class Fids:
    """One client that sends single requests (tests/qemu/fids.cpp)."""

    def __enter__(self):
        self.process = subprocess.Popen([str(BUILD / "tools/fids"), guest.connect], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        check(self.process.stdout.readline() == "ok attached\n", "no attachment")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def send(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline().rstrip("\n")
        check(line, "the client ended")
        kind, _, text = line.partition(" ")
        return kind, text

    def ask(self, request):
        self.send(request)
        return self.answer()

    def done(self, request):
        kind, text = self.ask(request)
        check(kind == "ok", f"{request}: {text}")
        return text

    def until_unloaded(self):
        """Waits for the record; the record comes when the node has gone."""
        self.done("open history read /history")
        while "\tunloaded\tfix-total" not in (records := self.done("read history")).split("\tloaded\tfix-total")[-1]:
            check(records, "the history ends")
        self.done("clunk history")

    def upload(self):
        self.done(f"load {PATCH} fix-total.klp")

    def refused(self, request, words):
        kind, text = self.ask(request)
        check(kind == "error" and words in text, f"{request}: expected '{words}': {kind} {text}")


@tests.add("a write to `unregister` is answered though its node goes away in it")
def _():
    guest.graft("load", PATCH)
    with Fids() as fids:
        fids.done(f"open own write {NODE}/unregister")
        fids.done(f"open other read {NODE}/enabled")
        fids.done(f"open folder read {NODE}/functions")
        check(fids.done("read other") == "1\\n", "enabled")
        fids.done("write own 1")
        fids.until_unloaded()
        fids.refused(f"walk {NODE}", "")
        for name in ("own", "other", "folder"):
            fids.refused(f"stat {name}", "gone")
        fids.refused("read other", "gone")
        fids.refused("read folder", "gone")
        fids.refused("write own 1", "gone")
        for name in ("own", "other", "folder"):
            fids.done(f"clunk {name}")
        fids.done("walk /livepatch")
    check(guest.patches() == {}, str(guest.patches()))


@tests.add("so is one to `enabled`, and a remove of the node itself")
def _():
    for request in ("write own 0", "remove folder"):
        guest.graft("load", PATCH)
        with Fids() as fids:
            fids.done(f"open own write {NODE}/enabled")
            fids.done(f"open folder read {NODE}")
            fids.done(request)
            fids.until_unloaded()
            fids.refused(f"walk {NODE}", "")
            fids.refused("stat own", "gone")
        check(guest.patches() == {}, str(guest.patches()))


@tests.add("a patch of the same name afterwards isn't the one that was held open")
def _():
    guest.graft("load", PATCH)
    with Fids() as fids:
        fids.done(f"open old write {NODE}/enabled")
        fids.done(f"open own write {NODE}/unregister")
        fids.done("write own 1")
        fids.until_unloaded()
        fids.upload()
        fids.done(f"open new read {NODE}/enabled")
        check(fids.done("read new") == "1\\n", "enabled")
        fids.refused("write old 0", "gone")
        check(fids.done("read new") == "1\\n", "enabled")
    guest.graft("unload", "fix-total")


@tests.add("a client that vanishes while its unregister waits doesn't stop it")
def _():
    guest.graft("load", PATCH)
    guest.skip_console()
    with Fids() as fids:
        fids.done(f"open own write {NODE}/unregister")
        fids.done(f"open other read {NODE}/enabled")
        fids.send("write own 1")
        guest.expect("patch fix-total: unload-started")
        fids.process.send_signal(signal.SIGKILL)
        fids.process.wait()
    guest.expect("patch fix-total: unloaded")
    check(guest.patches() == {}, str(guest.patches()))


with guest:
    tests.run()
