#!/usr/bin/env python3
"""Faults in patches' code: what can't be contained panics and says why, and what is contained is seen by the host.

What is contained is tested in the guest itself (tests/guest/contain/main.cpp)."""
import re

from harness import BUILD, REFUSED, Guest, Tests, check, run_graft

IMAGE = "test-contain.elf"
PATCH = str(BUILD / "test-contain/patches/faulty.klp")
NESTED = str(BUILD / "test-contain/patches/nested.klp")

tests = Tests()


def panic_of(words, module):
    """The reason of the panic in which a boot with these words of the command line ends."""
    result = run_graft("run", str(BUILD / IMAGE), "--smp", "2", "--module", module, "--append",
                       f"exit=debug control=off patches=manual {words}")
    panic = re.search(r"^panic: (.*)$", result.output.replace("\r", ""), re.M)
    check(panic, f"no panic: {result}"[-3000:])
    check(result.code != 0, "the exit code is 0")
    return panic.group(1)


def must_panic(name, words, expected, module=PATCH):
    @tests.add(f"panic: {name}")
    def _():
        reason = panic_of(words, module)
        check(re.fullmatch(expected, reason), f"'{reason}', expected '{expected}'")


def not_contained(kind, why):
    return rf"{kind}: in patch faulty-1, not contained: {why}"


for moment in "transition", "probation":
    must_panic(f"a mutex is held, {moment}", f"fault=mutex when={moment}", not_contained("page fault", "the task holds 1 mutex"))
must_panic("a spinlock is held", "fault=spinlock", not_contained("page fault", "a spinlock is held"))
must_panic("interrupts are off", "fault=interrupts", not_contained("page fault", "interrupts are off"))
must_panic("something of the kernel's refers to the stack", "fault=anchor",
           not_contained("page fault", "the task is entered in 1 of the kernel's lists"))
must_panic("a timer lies on the stack", "fault=timer", not_contained("page fault", "a timer that is set lies on the task's stack"))
must_panic("work lies on the stack", "fault=work", not_contained("page fault", "work that is queued lies on the task's stack"))
must_panic("a task that the kernel needs", "fault=read where=work", not_contained("page fault", "the kernel needs the task work"))
must_panic("in a handler", "fault=read where=handler", not_contained("page fault", "it is in an interrupt handler"))
must_panic("a stack that can't be believed", "fault=unwindable", not_contained("page fault", r"the stack isn't reliable \(.+\)"))
must_panic("while a task is being stopped", "fault=read",
           not_contained("page fault", "the task is being stopped for an earlier fault"), NESTED)
must_panic("stack overflow", "fault=overflow", "stack overflow")
must_panic("after the commit", "fault=read when=committed", "page fault")
must_panic("the patch that is replaced", "fault=read when=replaced", "page fault")
must_panic("the original", "fault=original", "page fault")


@tests.add("the host sees a contained fault")
def _():
    with Guest(IMAGE, "--smp", "2", "--module", PATCH, append="patches=manual fault=serve") as guest:
        guest.expect(r"serving\n")
        load = guest.graft("load", PATCH, code=REFUSED)
        check(re.search(r"fault: page fault, read of 0x0 at .*do_job_new.* in task \d+ \(server\), which is stopped; "
                        r"the patch is reversed", load.errors), str(load))
        events = guest.graft("history", "--json").json()
        fault = next(event for event in events if event["event"] == "fault")
        check(fault["patch"] == "faulty" and fault["name"] == "server", str(fault))
        check(fault["kind"] == "page fault, read of 0x0" and fault["then"] == "reversed", str(fault))
        check("do_job_new" in fault["function"] and "[faulty]" in fault["function"], str(fault))
        log = guest.graft("log").output
        check("(server) has faulted; its stack:" in log, "the log")
        check(re.search(r"#0 .*do_job_new.*\[faulty\]\n.*#1 .*serve", log), "the stack in the log")


tests.run()
