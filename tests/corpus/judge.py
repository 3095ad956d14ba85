"""Compares what `graft build` answered and what a guest showed with what a case says. Functions without side effects;
each gives a list of what is wrong, empty when nothing is."""
import copy
import re
from dataclasses import dataclass, field

BUILT, REFUSED, NOTHING = 0, 1, 3


@dataclass
class Answer:
    """What `graft build` said."""
    code: int
    output: str = ""
    errors: str = ""
    decisions: list = field(default_factory=list)  # {kind, name, demangled, reason}
    refusals: list = field(default_factory=list)   # {code, file, line, subject, reason, advice}
    warnings: list = field(default_factory=list)   # texts
    guesses: list = field(default_factory=list)    # texts
    notes: list = field(default_factory=list)      # texts
    data: list = field(default_factory=list)       # readable names of new objects
    seconds: float = 0.0


@dataclass
class Seen:
    """What a guest showed: probes by name, before, after and when the patch was gone, and the texts in that order."""
    before: dict
    after: dict
    gone: dict
    texts: list = field(default_factory=list)  # [(before, after, gone)] by Case.texts


def last_part(readable):
    """`graft::kernel::Box::size(int) const` → `size`; operators and lambdas stay as they are."""
    depth, end = 0, len(readable)
    for index, character in enumerate(readable):
        if character in "<{":
            depth += 1
        elif character in ">}":
            depth -= 1
        elif character == "(" and depth == 0 and not readable[index:].startswith("(anonymous"):
            end = index
            break
    name = readable[:end]
    depth, start = 0, 0
    for index, character in enumerate(name):
        if character in "<{(":
            depth += 1
        elif character in ">})":
            depth -= 1
        elif name[index:index + 2] == "::" and depth == 0:
            start = index + 2
    return name[start:].split(" ")[-1] if "<" not in name[start:] else name[start:]


def is_named(pattern, name, readable):
    for one in pattern.split("|") if not pattern.startswith("/") else [pattern]:
        if one.startswith("/") and one.endswith("/"):
            if re.search(one[1:-1], readable):
                return True
        elif one in (name, readable, last_part(readable)):
            return True
    return False


def compare_names(what, patterns, found):
    """`found` is [(linkage name, readable name)]. Each pattern has at least one, each found one a pattern."""
    trouble = []
    for pattern in patterns:
        optional, pattern = pattern.startswith("?"), pattern.lstrip("?")
        if not optional and not any(is_named(pattern, *one) for one in found):
            trouble.append(f"{what}: {pattern} is missing")
    plain = [pattern.lstrip("?") for pattern in patterns]
    trouble += [f"{what}: {readable} was not expected" for name, readable in found
                if not any(is_named(pattern, name, readable) for pattern in plain)]
    return trouble


def judge_built(case, answer):
    trouble = []
    for key, kind in (("changed", "changed"), ("added", "added"), ("removed", "removed"), ("held", "held")):
        found = [(one["name"], one["demangled"]) for one in answer.decisions if one["kind"] == kind]
        trouble += compare_names(key, case.names(key), found)
    trouble += compare_names("data", case.names("data"), [(one, one) for one in answer.data])
    for key, texts in (("warning", answer.warnings), ("guess", answer.guesses), ("note", answer.notes)):
        trouble += [f"no {key} says '{wanted}'" for wanted in case.all(key) if not any(wanted in text for text in texts)]
    reasons = [one["reason"] for one in answer.decisions if one["kind"] == "changed"]
    trouble += [f"no reason says '{wanted}'" for wanted in case.all("why") if not any(wanted in one for one in reasons)]
    return trouble


def judge_refused(case, answer):
    said = answer.output + answer.errors
    trouble = [f"no refusal says '{wanted}'" for wanted in case.all("reason") if wanted not in said]
    code, place = case.values.get("code"), case.values.get("place")
    if code and code not in [one["code"] for one in answer.refusals]:
        trouble.append(f"no refusal has the code {code}")
    files = [one["file"] for one in answer.refusals]
    if place and not any(file == place or file.endswith("/" + place) for file in files):
        trouble.append(f"no refusal names {place}")
    return trouble


def judge_build(case, answer):
    expected = {"refused": REFUSED, "nothing": NOTHING}.get(case.result, BUILT)
    if answer.code != expected:
        return [f"exit code {answer.code}, expected {expected}"]
    if case.result == "refused":
        return judge_refused(case, answer)
    if case.result == "nothing":
        return [f"{one['demangled']} is called {one['kind']}" for one in answer.decisions
                if one["kind"] not in ("unchanged", "removed")]
    return judge_built(case, answer)


def compare_tables(when, expected, table):
    return [f"probe {name} is {table.get(name)} {when}, expected {expected.get(name)}"
            for name in sorted(expected.keys() | table.keys())
            if not (expected.get(name) == table.get(name) or callable(expected.get(name)) and expected[name](table.get(name)))]


class Other:
    """Any value but one."""

    def __init__(self, value):
        self.value = value

    def __call__(self, value):
        return value is not None and value != self.value

    def __str__(self):
        return f"another value than {self.value}"


def judge_seen(case, seen):
    trouble = [f"probe {probe.name} was {seen.before.get(probe.name)} before, expected {probe.before}"
               for probe in case.probes if seen.before.get(probe.name) != probe.before]
    after = {probe.name: Other(probe.before) if probe.after == "*" else probe.after for probe in case.probes}
    gone = {probe.name: probe.gone for probe in case.probes}
    trouble += compare_tables("with the patch", {**seen.before, **after}, seen.after)
    trouble += compare_tables("without it again", {**seen.before, **gone}, seen.gone)
    for texts, (before, with_patch, without) in zip(case.texts, seen.texts, strict=True):
        for when, text, wanted, unwanted in (("before", before, texts.before, texts.after),
                                             ("with the patch", with_patch, texts.after, None),
                                             ("without it again", without, texts.before, texts.after)):
            if not re.search(wanted, text):
                trouble.append(f"{when}: nothing like /{wanted}/ in {text[-300:]!r}")
            if unwanted is not None and re.search(unwanted, text):
                trouble.append(f"{when}: /{unwanted}/ in {text[-300:]!r}")
    return trouble


# ---- wrong expectations ---------------------------------------------------------------------------------------------


def wrong_cases(case):
    """The case with one expectation made wrong, in all ways: [(what, case)]. A judge that lets one pass is broken."""
    def variant(**values):
        other = copy.deepcopy(case)
        other.values.update(values)
        return other

    for result in ("refused", "nothing", "live"):
        same = {"refused": "refused", "nothing": "nothing"}.get(case.result, "live")
        if result != same:
            yield f"result {result}", variant(result=result)
    if case.result in ("live", "lingers", "load-refused"):
        names = case.names("changed")
        yield "one function more", variant(changed="; ".join(names + ["never_heard_of"]))
        if not names[0].startswith("?"):
            yield "one function less", variant(changed="; ".join(names[1:]))
        yield "a function held that is not", variant(held="; ".join(case.names("held") + ["never_heard_of"]))
        yield "a new object", variant(data="; ".join(case.names("data") + ["never_heard_of"]))
        yield "a warning", variant(warning=case.all("warning") + ["never heard of"])
        yield "a guess", variant(guess=case.all("guess") + ["never heard of"])
        yield "a note", variant(note=case.all("note") + ["never heard of"])
    if case.result == "refused":
        yield "another reason", variant(reason=["never heard of"])
        yield "another place", variant(place="never_heard_of.cpp")


def wrong_observations(case):
    for index, probe in enumerate(case.probes):
        for key in ("before", "after", "gone"):
            other = copy.deepcopy(case)
            setattr(other.probes[index], key, str(int(getattr(probe, key)) + 1) if getattr(probe, key) != "*" else probe.before)
            yield f"probe {probe.name} {key}", other
        other = copy.deepcopy(case)
        del other.probes[index]
        if probe.before != probe.after:
            yield f"probe {probe.name} unmentioned", other
    for index, _ in enumerate(case.texts):
        other = copy.deepcopy(case)
        other.texts[index].after = "never heard of"
        yield "another text", other
    if not case.probes:
        other = copy.deepcopy(case)
        name = "row"
        other.probes = [type("Probe", (), {"name": name, "before": "721", "after": "0", "gone": "721"})()]
        yield "a probe that keeps its value", other
