"""The corpus' cases: a diff each, whose first lines say what building and loading it must give.

    TITLE, one line

    KEY: VALUE
    ...

    diff --git ...

Keys (those marked * may be repeated):
  pitfalls      numbers of shared phenomena, for reading only
  result        live          built, loaded, observed, unloaded (the default)
                lingers       the same, but something points into it afterwards
                load-refused  built, and refused by the running system
                refused       `graft build` refuses: exit code 1
                nothing       nothing to change: exit code 3
  changed, added, removed, held
                functions, separated by `;`. Exactly these, whatever the order. `live` and its kind must name what
                changes; a missing other list is empty. A function is named by the last part of its readable name
                without parameters, by the whole readable name, by its linkage name, or by a /regular expression/ over
                the readable name. `one|other`: either name. `?one`: may be missing
  data          new objects, in the same way
  reason *      text that the refusal contains
  code          code of the refusal
  place         file that the refusal names
  warning *, guess *, note *
                text in one of the warnings, guesses or notes
  why *         text in the reason of one of the changed functions
  options       further arguments of `graft build`
  observe *     probe NAME: BEFORE -> AFTER [-> GONE]   (AFTER `*`: another value; GONE is BEFORE unless said)
                graft ARGUMENTS: /BEFORE/ -> /AFTER/    regular expressions over the command's output
                console: /BEFORE/ -> /AFTER/            over what the console shows in some rounds
                Every probe that isn't named must keep its value all the time.
  at -OPT KEY: VALUE
                takes the place of all values of KEY when the image was built with -OPT
"""
import re
from dataclasses import dataclass, field
from pathlib import Path

RESULTS = ("live", "lingers", "load-refused", "refused", "nothing")
BUILT = ("live", "lingers", "load-refused")
SINGLE = ("pitfalls", "result", "changed", "added", "removed", "held", "data", "code", "place", "options")
REPEATED = ("reason", "warning", "guess", "note", "why", "observe")
LISTS = ("changed", "added", "removed", "held", "data")

LINE = re.compile(r"^(?:at -(O\w+) )?([a-z]+):\s*(.*)$")
PROBE = re.compile(r"^probe (\w+): (-?\d+) -> (-?\d+|\*)(?: -> (-?\d+))?$")
TEXTS = re.compile(r"^(?:graft ([^:]+)|(console)): /(.*)/ -> /(.*)/$")


class BadCase(Exception):
    """A case that doesn't keep to the form above."""


@dataclass
class Probe:
    name: str
    before: str
    after: str
    gone: str


@dataclass
class Texts:
    arguments: list  # of graft; empty: the console
    before: str
    after: str


@dataclass
class Case:
    name: str
    path: Path
    title: str
    values: dict
    probes: list = field(default_factory=list)
    texts: list = field(default_factory=list)

    @property
    def result(self):
        return self.values.get("result", "live")

    def names(self, key):
        return [name.strip() for name in self.values.get(key, "").split(";") if name.strip()]

    def all(self, key):
        return self.values.get(key, [])

    @property
    def is_loaded(self):
        return self.result in ("live", "lingers")


def read_head(text, name):
    head, separator, _ = text.partition("\ndiff --git ")
    lines = head.splitlines()
    if not separator or len(lines) < 2 or not lines[0] or lines[1]:
        raise BadCase(f"{name}: a title, an empty line, keys and a diff, in that order")
    return lines[0], [line for line in lines[2:] if line]


def read_keys(lines, name, opt):
    values, special = {}, {}
    for line in lines:
        match = LINE.match(line)
        if not match or match[2] not in SINGLE + REPEATED:
            raise BadCase(f"{name}: what is '{line}'?")
        only_at, key, value = match.groups()
        into = special if only_at else values
        if only_at and only_at != opt.lstrip("-"):
            continue
        if key in SINGLE:
            if key in into:
                raise BadCase(f"{name}: two lines of '{key}'")
            into[key] = value
        else:
            into.setdefault(key, []).append(value)
    return {**values, **special}


def read_observation(case, text):
    if not text:
        return
    probe, texts = PROBE.match(text), TEXTS.match(text)
    if probe:
        name, before, after, gone = probe.groups()
        case.probes.append(Probe(name, before, after, gone or before))
    elif texts:
        case.texts.append(Texts((texts[1] or "").split(), texts[3], texts[4]))
    else:
        raise BadCase(f"{case.name}: what is to be observed in '{text}'?")


def check_form(case):
    if case.result not in RESULTS:
        raise BadCase(f"{case.name}: no result '{case.result}'")
    if case.result in BUILT and not case.names("changed"):
        raise BadCase(f"{case.name}: what does it change?")
    if case.result not in BUILT and any(case.names(key) for key in LISTS):
        raise BadCase(f"{case.name}: nothing is built, so nothing can be changed")
    if case.result in ("refused", "load-refused") and not case.all("reason"):
        raise BadCase(f"{case.name}: refused for what reason?")
    if (case.probes or case.texts) and not case.is_loaded:
        raise BadCase(f"{case.name}: nothing can be observed")


def parse(text, name, path, opt):
    title, lines = read_head(text, name)
    case = Case(name, path, title, read_keys(lines, name, opt))
    for observation in case.all("observe"):
        read_observation(case, observation)
    check_form(case)
    return case


def read_all(folder, opt):
    paths = sorted(Path(folder).glob("*.diff"))
    return [parse(path.read_bytes().decode(), path.stem, path, opt) for path in paths]
