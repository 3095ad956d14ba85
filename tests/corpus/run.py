#!/usr/bin/env python3
"""The corpus of small diffs: `make corpus OPT=-O2`.

usage: run.py [--opt -O2] [--jobs N] [WORD...]

Each diff of tests/patches/ is built with `graft build` against the corpus image at that level of optimisation, and what
comes out is compared with what its first lines say (tests/corpus/cases.py). What was built is loaded into one running
guest, one after the other, and observed before, with the patch, and after it has gone. Finally each expectation that
held is made wrong in every way, on the same answers: one that passes all the same is a failure of this runner.
With words, only cases whose names contain one of them.
"""
import argparse
import concurrent.futures
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from baseline import ROOT, CannotBuild, baseline
from build import build
from cases import BadCase, read_all
from guest import CorpusGuest, Failed
from judge import Seen, judge_build, judge_seen, wrong_cases, wrong_observations

BUILT, REFUSED = 0, 1


def load_refused(guest, case, patch):
    before = dict(guest.table)
    result = guest.graft("load", str(patch), "--name", case.name, code=None)
    trouble = [] if result.code == REFUSED else [f"the load ended with exit code {result.code}, expected {REFUSED}"]
    trouble += [f"the load's refusal doesn't say '{word}': {result.errors}" for word in case.all("reason")
                if word not in result.errors]
    guest.settle()
    return trouble + ([] if guest.table == before else ["something has changed all the same"])


def observe(guest, case, patch):
    """Loads, looks, unloads, looks."""
    console = guest.settle()
    texts = [guest.texts(case, console)]
    before = dict(guest.table)
    guest.graft("load", str(patch), "--name", case.name)
    console = guest.settle()
    texts.append(guest.texts(case, console))
    after = dict(guest.table)
    guest.graft("unload", case.name)
    console = guest.settle()
    texts.append(guest.texts(case, console))
    return Seen(before, after, dict(guest.table), list(zip(*texts)))


def check_in_guest(guest, case, patch):
    """(what is wrong, what was seen or None)"""
    if case.result == "load-refused":
        return load_refused(guest, case, patch), None
    seen = observe(guest, case, patch)
    trouble = judge_seen(case, seen)
    lingers = guest.lingers(case.name)
    if lingers != (case.result == "lingers"):
        trouble.append("it lingers" if lingers else "it doesn't linger")
    return trouble, seen


class Run:
    def __init__(self, cases, base, folder, jobs):
        self.cases, self.base, self.folder, self.jobs = cases, base, folder, jobs
        self.failed, self.answers, self.seen = {}, {}, {}
        self.guest = None

    def fail(self, case, trouble):
        self.failed.setdefault(case.name, []).extend(trouble)

    def take(self, case, patch, answer):
        self.answers[case.name] = answer
        trouble = judge_build(case, answer)
        if not trouble and answer.code == BUILT:
            more, seen = check_in_guest(self.guest, case, patch)
            trouble += more
            if seen:
                self.seen[case.name] = seen
        print(f"{'FAILED' if trouble else 'ok':7}{case.name} ({answer.seconds:.1f} s)", flush=True)
        if trouble:
            self.fail(case, trouble)
            print("".join(f"    {line}\n" for one in trouble for line in one.splitlines()), end="")
            if any("exit code" in one for one in trouble):
                print("".join(f"    | {line}\n" for line in (answer.output + answer.errors).splitlines()[-20:]), end="")

    def restart(self):
        if self.guest:
            self.guest.end()
        self.guest = CorpusGuest(self.base.image)
        self.guest.wait_for_start()

    def take_safely(self, case, patch, answer):
        """A guest that doesn't survive a patch is one failure, not all that follow."""
        try:
            self.take(case, patch, answer)
        except (Failed, OSError, ValueError, subprocess.TimeoutExpired) as trouble:
            console = "\n".join(self.guest.console.splitlines()[-8:])
            print(f"FAILED {case.name}: {trouble}\n{console}", flush=True)
            self.fail(case, [str(trouble)])
            self.restart()

    def all(self):
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            pending = []
            for case in self.cases:
                patch = Path(self.folder) / f"{case.name}.klp"
                pending.append((case, patch, pool.submit(build, case, self.base, patch)))
            self.restart()
            try:
                # What lingers changes what others see, so it comes last.
                for case, patch, answer in sorted(pending, key=lambda one: one[0].result == "lingers"):
                    self.take_safely(case, patch, answer.result())
            finally:
                self.guest.end()

    def check_judges(self):
        """Each expectation that held, made wrong, must be noticed. Returns how many were."""
        noticed = 0
        for case in self.cases:
            if case.name in self.failed:
                continue
            wrong = [(what, judge_build(other, self.answers[case.name])) for what, other in wrong_cases(case)]
            if case.name in self.seen:
                wrong += [(what, judge_seen(other, self.seen[case.name])) for what, other in wrong_observations(case)]
            missed = [f"a wrong expectation passes: {what}" for what, trouble in wrong if not trouble]
            noticed += len(wrong) - len(missed)
            if missed:
                print(f"FAILED {case.name}: {'; '.join(missed)}")
                self.fail(case, missed)
        return noticed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--opt", default="-O2")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    begin = time.monotonic()
    try:
        cases = read_all(ROOT / "tests/patches", options.opt)
        base = baseline(options.opt)
    except (BadCase, CannotBuild) as trouble:
        print(trouble)
        return 1
    if options.words:
        cases = [case for case in cases if any(word in case.name for word in options.words)]
    with tempfile.TemporaryDirectory() as folder:
        run = Run(cases, base, folder, options.jobs)
        run.all()
        noticed = run.check_judges()
    failed = len(run.failed)
    print(f"{len(run.seen)} observed, {noticed} wrong expectations noticed, {time.monotonic() - begin:.0f} s")
    print(f"corpus: diffs={len(cases)} passed={len(cases) - failed} failed={failed}")
    return 0 if cases and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
