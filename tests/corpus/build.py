"""Runs `graft build` on a case and reads its answer."""
import json
import shlex
import subprocess
import time

from baseline import BUILD
from judge import Answer

LIMIT = 300  # seconds; detects a hang


def read_json(text):
    try:
        return json.loads(text) if text.strip() else {}
    except ValueError:
        return {}


def read_answer(done, seconds):
    said = read_json(done.stdout)
    kinds = {"new": "added"}
    decisions = [{"kind": kinds.get(one["decision"], one["decision"]), "name": one["name"], "demangled": one["readable"], "reason": one["reason"]}
                 for one in said.get("functions", [])]
    warnings = [one["text"] for one in said.get("warnings", [])] + said.get("compiler_warnings", [])
    return Answer(done.returncode, done.stdout, done.stderr, decisions, said.get("refusals", []), warnings,
                  [one["text"] for one in said.get("guesses", [])], said.get("notes", []), said.get("new_data", []), seconds)


def build_diff(diff, base, patch, options=()):
    command = [str(BUILD / "graft"), "--json", "build", "--base", str(base.folder), str(diff), "-o", str(patch), *options]
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, stdin=subprocess.DEVNULL)
    return read_answer(done, time.monotonic() - begin)


def build(case, base, patch):
    return build_diff(case.path, base, patch, shlex.split(case.values.get("options", "")))
