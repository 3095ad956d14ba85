#!/usr/bin/env python3
"""`make demo`: boots the ISO, shows a defect, repairs it in the running system from a source diff, and takes the repair back.

Each step shows what is done and checks what came of it; the first that fails ends the demonstration with exit code 1.
"""
import re
import shlex
import sys
import time

from harness import BUILD, ROOT, Failed, Guest, check, run_graft

DIFF = ROOT / "apps/demo/patches/fix_total.diff"
PATCH = BUILD / "demo/fix-total.klp"
NAME = "fix-total"
COLOURS = sys.stdout.isatty()


def coloured(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOURS else text


def heading(text):
    print(f"\n{coloured('1', '== ' + text)}", flush=True)


def say(text):
    print(f"   {text}", flush=True)


def console_line(line):
    colour = "31" if "WRONG" in line else "32" if "right" in line else "2"
    print(f"   {coloured('2', 'console |')} {coloured(colour, line)}", flush=True)


def watch(guest, count, word):
    """Shows the next invoices of all tills, each of which must be `word`; both processors must be among them."""
    tills = set()
    for _ in range(count):
        line = guest.expect(r"((?:till|desk)[^\n]*(?:right|WRONG)[^\n]*)\n")[1]
        console_line(line)
        check(word in line, f"expected an invoice that is {word}: {line}")
        tills.add(line.split(":")[0])
    for processor in ("0", "1"):
        check(any(f"processor {processor}" in till for till in tills), f"nobody wrote an invoice on processor {processor}")


def command(guest, *arguments, show=True):
    """Runs the host command and shows it as it would be typed."""
    shown = [str(argument).replace(f"{ROOT}/", "") for argument in arguments]
    print(f"   {coloured('36', '$ graft ' + shlex.join(shown))}", flush=True)
    result = run_graft(*map(str, arguments), connect=guest.connect)
    if show:
        for line in (result.output + result.errors).splitlines():
            print(f"     {line.replace(str(ROOT) + '/', '')}", flush=True)
    check(result.code == 0, f"`graft {shlex.join(shown)}` gave exit code {result.code}: {result.errors}")
    return result


def show_diff():
    for line in DIFF.read_text(encoding="utf-8").splitlines():
        colour = "32" if line.startswith("+") else "31" if line.startswith("-") else "2"
        print(f"   {coloured(colour, line)}", flush=True)


def settle(guest, word):
    """Lets the invoices that were begun before pass by."""
    guest.skip_console()
    for till in ("till 1", "till 2", "desk"):
        guest.expect(rf"{till}[^\n]*(right|WRONG)[^\n]*\n")
    watch(guest, 6, word)


def show_transition(guest):
    say("Each task moves when it is outside of what changes. The desk is inside an invoice and holds the transition:")
    result = command(guest, "blocking")
    tasks = guest.graft("tasks", "--json").json()
    moved = [task["name"] for task in tasks if task["patch_state"] == "1"]
    if result.output:
        say(f"moved so far: {', '.join(moved) or 'nobody'}")


def show_moves(guest, started):
    """Each task's move into the patched world: when and why."""
    moved = 0
    for task in guest.graft("tasks", "--json").json():
        if task["moves"]:
            moved += 1
            move = task["moves"][-1]
            after = max(0.0, float(move["seconds"]) - float(started["seconds"]))
            say(f"{task['task']:>4} {task['name']:<16} moved by {move['cause']:<10} after {after * 1000:6.0f} ms")
    check(moved > 3, "hardly a task has moved")


def demonstrate():
    began = time.monotonic()
    heading("Booting build/demo.iso through GRUB, two processors")
    with Guest("demo.iso", "--smp", "2") as guest:
        for pattern in (r"(\[[^\n]*graft: started[^\n]*)\n", r"(\[[^\n]*processors run[^\n]*)\n"):
            console_line(guest.expect(pattern)[1])
        say(f"The control tree is at {guest.connect}")

        heading("A shop at work: every invoice is some cents short")
        watch(guest, 6, "WRONG")

        heading("The repair, as a programmer writes it")
        show_diff()

        heading("From the diff to a patch: two functions change, and their caller is held so that nobody sees a mix")
        edited = time.monotonic()
        command(guest, "build", "--base", BUILD / "demo", DIFF, "-o", PATCH)
        built = time.monotonic()
        command(guest, "inspect", PATCH)

        heading("Loading it into the running system, over the serial line")
        guest.skip_console()
        guest.expect(r"desk: invoice[^\n]*\n")  # the desk begins its next one
        command(guest, "load", PATCH, "--no-wait")
        show_transition(guest)
        command(guest, "wait")
        loaded = time.monotonic()
        history = guest.graft("history", "--json").json()
        show_moves(guest, next(record for record in history if record["event"] == "load-started"))
        command(guest, "list")
        say(f"from the diff to the patch {built - edited:.1f} s; from the diff to the last task that moved {loaded - edited:.1f} s")

        heading("The same shop, never stopped: every invoice is right")
        settle(guest, "right")

        heading("Taking the patch away again")
        command(guest, "unload", NAME)
        check(guest.patches() == {}, "the patch is still there")

        heading("The original again")
        settle(guest, "WRONG")

        heading("What has happened, as the system tells it")
        command(guest, "history")
        for match in re.finditer(r"total (\d+)\.(\d\d), should be (\d+)\.(\d\d)", guest.console):
            off = abs(int(match[1] + match[2]) - int(match[3] + match[4]))
            check(off < 10, f"a mix of old and new: {match[0]}")
    print(f"\n{coloured('1;32', 'demo: done')}, {time.monotonic() - began:.0f} s", flush=True)


def main():
    try:
        demonstrate()
    except (Failed, OSError, ValueError, KeyError) as failure:
        print(f"\n{coloured('1;31', 'demo: failed')}: {failure}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
