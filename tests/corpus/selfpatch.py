#!/usr/bin/env python3
"""The system patches every part of itself: `make selfpatch COUNT=30 SEED=1`.

usage: selfpatch.py [--count N] [--seed N] [--jobs N] [WORD...]

Chooses COUNT functions at random of each of kernel/, patch/, control/, drivers/, arch/ and the application, puts a
statement into each that keeps the behaviour (tests/corpus/mutate.py), builds a patch from that diff, loads it into a
running guest under load, reads through QEMU's monitor whether the new code has run, unloads it, and reads that it runs
no more. A function that can't be patched must be one for which the finished image itself shows the reason
(tests/corpus/image_facts.py): no call site, boot only, no way out. One without a way out is refused first, as it must
be, and then loaded with --allow-endless: it is live unless a task's stack shows that a task is in it for ever.

  live      loaded and unloaded; reached: of those, how many the workload has run
  refused   with a reason that was checked
  failed    everything else
With words, only functions whose readable names contain one of them.
"""
import argparse
import concurrent.futures
import difflib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from baseline import NORMAL, ROOT, CannotBuild, baseline
from build import build_diff
from guest import DONE, TIMED_OUT, CorpusGuest, Failed
from image_facts import boot_only, read_functions, run
from judge import BUILT, REFUSED, last_part
from monitor import Monitor
from mutate import NoBody, find_body, kinds_for, mutated

GROUPS = {"kernel": "kernel/", "patch": "patch/", "control": "control/", "drivers": "drivers/", "arch": "arch/",
          "application": "tests/guest/corpus/"}
MADE_BY_COMPILER = ("_GLOBAL_", "_ZTh", "_ZTv", "_ZTc")
WORDS = 4096  # of graft_selfpatch_probe
SHARE = 90    # per cent that must be live
ENOUGH = 100  # functions; with fewer, chance decides the share, and it is only shown
ENDLESS = ("never returns", "no way out", "without a return", "endless")  # words of such a refusal
DEADLINE = "10s"  # of a load that a task may hold for ever
# What a patch that has been loaded is asked for while the workload runs.
WORKLOAD = (("tasks",), ("metrics",), ("history",), ("log",), ("ls", "/"), ("cat", "/tasks/1/stack"), ("cat", "/symbols"))
# Another patch, which comes and goes beside the one that is tried.
HELPER = ROOT / "tests/patches/001-clone-constant-argument.diff"


@dataclass
class Trial:
    """One function, and the place in the sources where a statement goes."""
    number: int
    group: str
    function: object
    name: str
    path: str
    position: int
    kind: str = ""
    reached: bool = False
    endless: bool = False

    def __str__(self):
        return f"{self.path} {self.function.readable} ({self.kind}{', never returns' if self.endless else ''})"


class Sources:
    def __init__(self, tree):
        self.tree, self.texts = tree, {}

    def text(self, path):
        if path not in self.texts:
            self.texts[path] = (self.tree / path).read_text(encoding="utf-8")
        return self.texts[path]


def candidates(functions, sources):
    """{group: [Trial]} of all functions of the running image that have a body in the sources of a group."""
    found = {group: [] for group in GROUPS}
    for function in functions.values():
        if function.is_gone or function.names[0].startswith(MADE_BY_COMPILER):
            continue
        for name, (path, line) in zip(function.names, function.places, strict=True):
            group = next((one for one, folder in GROUPS.items() if path.startswith(folder)), None)
            if group is None or not path.endswith((".c", ".cpp", ".h")):
                continue
            try:
                position = find_body(sources.text(path), line, last_part(function.readable))
            except (NoBody, OSError):
                continue
            found[group].append(Trial(0, group, function, name, path, position))
            break
    return found


def print_bounds(found, boot):
    """What there is to choose from, and how much of it the image itself shows to be out of reach."""
    for group, trials in found.items():
        sites = [trial for trial in trials if trial.function.has_site]
        print(f"{group:12} functions {len(trials)}, without a call site {len(trials) - len(sites)}, "
              f"boot only {sum(trial.function.address in boot for trial in sites)}")


def choose(found, count, seed, words):
    chance = random.Random(seed)
    trials = []
    for group in sorted(found):
        here = sorted(found[group], key=lambda trial: (trial.path, trial.name))
        if words:
            here = [trial for trial in here if any(word in trial.function.readable for word in words)]
        trials += chance.sample(here, min(count, len(here)))
    for number, trial in enumerate(trials, 1):
        trial.number = number
    return trials, chance


def write_diff(trial, text, new, folder):
    lines = difflib.unified_diff(text.splitlines(True), new.splitlines(True), f"a/{trial.path}", f"b/{trial.path}")
    diff = folder / f"self-{trial.number}.diff"
    diff.write_text(f"diff --git a/{trial.path} b/{trial.path}\n" + "".join(lines), encoding="utf-8")
    return diff


class Run:
    def __init__(self, base, functions, folder):
        self.base, self.functions, self.folder = base, functions, folder
        self.boot_only = boot_only(functions)
        self.counts = {group: Counter() for group in GROUPS}
        self.guest = self.monitor = None
        self.words = self.address_of("graft_selfpatch_probe")
        self.helper = folder / "helper.klp"
        self.workload = [lambda: self.guest.graft("plan", str(self.helper)), self.come_and_go]
        self.workload += [lambda command=command: self.guest.graft(*command) for command in WORKLOAD]

    def address_of(self, symbol):
        for line in run("nm", str(self.base.image)).splitlines():
            if line.split()[-1] == symbol:
                return int(line.split()[0], 16)
        raise CannotBuild(f"the image has no {symbol}")

    def start(self):
        self.end()
        path = self.folder / f"monitor-{time.monotonic_ns()}"
        self.guest = CorpusGuest(self.base.image, qemu=Monitor.arguments(path))
        self.guest.wait_for_start()
        self.monitor = Monitor(path)

    def end(self):
        if self.monitor:
            self.monitor.close()
        if self.guest:
            self.guest.end()
        self.guest = self.monitor = None

    def build_helper(self):
        answer = build_diff(HELPER, self.base, self.helper)
        if answer.code != BUILT:
            raise CannotBuild(answer.errors)

    def build(self, trial, sources):
        text = sources.text(trial.path)
        diff = write_diff(trial, text, mutated(trial.path, text, trial.position, trial.kind, trial.number), self.folder)
        return build_diff(diff, self.base, self.folder / f"self-{trial.number}.klp")

    def word(self, trial):
        return self.monitor.word(self.words + 8 * trial.number)

    # -- what a refusal says, against what the image shows

    def reason_holds(self, trial, text):
        function = trial.function
        if self.says_endless(text):
            return not function.returns
        if "no-patch list" in text or "call site" in text:
            return not function.has_site
        if "boot" in text or "start" in text:
            return function.address in self.boot_only
        return False

    @staticmethod
    def says_endless(text):
        return any(words in text for words in ENDLESS)

    # -- one function

    def is_reached(self, trial):
        """Runs the workload until the new code has been seen running."""
        for step in self.workload:
            if self.word(trial) != 0:
                return True
            step()
        self.guest.settle()
        return self.word(trial) != 0

    def come_and_go(self):
        self.guest.graft("load", str(self.helper))
        self.guest.graft("unload", self.helper.stem)

    def load_endless(self, trial, name):
        trial.endless = True
        return self.guest.graft("load", str(self.folder / f"{name}.klp"), "--allow-endless", "--deadline", DEADLINE, code=None)

    def is_inside(self, trial):
        """Whether the function stands on some task's stack, once the load has been turned round."""
        tasks = json.loads(self.guest.graft("tasks", "--json").output)
        stacks = [self.guest.graft("cat", f"/tasks/{task['task']}/stack", code=None).output for task in tasks]
        return any(line.startswith(trial.function.readable + "+") for stack in stacks for line in stack.splitlines())

    def runs_on(self, trial):
        """True when the patch's code still runs after it has gone."""
        before = self.word(trial)
        self.guest.graft("tasks")
        self.guest.settle()
        return self.word(trial) != before

    def live(self, trial):
        """What is wrong, or None."""
        name = f"self-{trial.number}"
        loaded = self.guest.graft("load", str(self.folder / f"{name}.klp"), code=None)
        if loaded.code == REFUSED and self.reason_holds(trial, loaded.errors):
            if not self.says_endless(loaded.errors):
                return self.refused(trial, loaded.errors)
            loaded = self.load_endless(trial, name)
            if loaded.code == TIMED_OUT and self.is_inside(trial):
                return self.refused(trial, "a task is in it for ever")
        if loaded.code != DONE:
            return f"the load: exit code {loaded.code}: {loaded.errors}"
        trial.reached = self.is_reached(trial)
        self.guest.graft("unload", name)
        if trial.kind != "store" and self.runs_on(trial):
            return "it still runs after the unload"
        if self.guest.lingers(name):
            return "it lingers: " + self.guest.graft("cat", f"/lingering/{name}").output
        self.counts[trial.group]["live"] += 1
        self.counts[trial.group]["reached"] += trial.reached
        self.counts[trial.group]["endless"] += trial.endless
        print(f"live   {trial}{'' if trial.reached else ', not reached'}", flush=True)
        return None

    def refused(self, trial, text):
        self.counts[trial.group]["refused"] += 1
        print(f"refused {trial}: {text.strip().splitlines()[-1].strip()}", flush=True)

    def judge(self, trial, answer):
        if answer.code == REFUSED and self.reason_holds(trial, answer.errors):
            return self.refused(trial, answer.errors)
        if answer.code != BUILT:
            return f"graft build: exit code {answer.code}: {(answer.errors or answer.output)[-1500:]}"
        changed = {one["name"] for one in answer.decisions if one["kind"] == "changed"}
        if not changed & set(trial.function.names):
            return f"not called changed, but {sorted(changed)}"
        return self.live(trial)

    def take(self, trial, building):
        """One trial's outcome; what goes wrong with it is its own failure, and the run goes on."""
        self.counts[trial.group]["tried"] += 1
        trouble = self.tried(trial, building)
        if trouble:
            self.counts[trial.group]["failed"] += 1
            print(f"FAILED {trial}: {trouble}", flush=True)

    def tried(self, trial, building):
        """What is wrong, or None."""
        try:
            answer = building.result()
        except (OSError, ValueError, subprocess.SubprocessError) as failure:
            return f"graft build: {failure}"
        try:
            return self.judge(trial, answer)
        except (Failed, OSError, ValueError, subprocess.TimeoutExpired) as failure:
            trouble = f"{failure}\n" + "\n".join(self.guest.console.splitlines()[-12:])
            self.start()
            return trouble

    def totals(self):
        for group, counts in self.counts.items():
            print(f"{group:12} tried {counts['tried']}, live {counts['live']} (reached {counts['reached']}, "
                  f"never return {counts['endless']}), "
                  f"refused {counts['refused']}, failed {counts['failed']}")
        return sum(self.counts.values(), Counter())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    base = baseline(NORMAL)
    sources = Sources(base.tree)
    functions = read_functions(base.image)
    found = candidates(functions, sources)
    trials, chance = choose(found, options.count, options.seed, options.words)
    if len(trials) >= WORDS:
        print(f"there are words for {WORDS} functions")
        return 2
    for trial in trials:
        trial.kind = chance.choice(kinds_for(trial.path, sources.text(trial.path), trial.position))
    with tempfile.TemporaryDirectory() as name:
        run_of = Run(base, functions, Path(name))
        print_bounds(found, run_of.boot_only)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            pending = [(trial, pool.submit(run_of.build, trial, sources)) for trial in trials]
            run_of.build_helper()
            run_of.start()
            try:
                for trial, building in pending:
                    run_of.take(trial, building)
            finally:
                run_of.end()
    total = run_of.totals()
    share = 100 * total["live"] // max(1, total["tried"])
    print(f"selfpatch: tried={total['tried']} live={total['live']} share={share}% refused={total['refused']} "
          f"failed={total['failed']}")
    enough = total["tried"] >= ENOUGH
    return 0 if total["tried"] and not total["failed"] and (share >= SHARE or not enough) else 1


if __name__ == "__main__":
    sys.exit(main())
