#!/usr/bin/env python3
"""imagetables finds each defect that it is there to find: small images, each with one of them.

usage: imagetables_test.py IMAGETABLES
"""
import subprocess
import sys
import tempfile
from pathlib import Path

START = """
    .section .boot, "ax"
    .globl graft_start_multiboot2
    .type graft_start_multiboot2, @function
graft_start_multiboot2:
    hlt
    .size graft_start_multiboot2, . - graft_start_multiboot2
"""
GOOD = """
    .text
    .globl work
    .type work, @function
    .balign 16
work:
    .cfi_startproc
    .byte 0x0f, 0x1f, 0x44, 0x00, 0x00
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    call other
    popq %rbx
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size work, . - work
    .type other, @function
    .balign 16
other:
    .cfi_startproc
    .byte 0x0f, 0x1f, 0x44, 0x00, 0x00
    ret
    .cfi_endproc
    .size other, . - other
    .globl graft_upcall_up
    .set graft_upcall_up, other
    .type graft_upcall_up, @function
    .section .text.permanent, "ax"
    .type fixed, @function
fixed:
    .cfi_startproc
    call graft_upcall_up
    jmp helper
    .cfi_endproc
    .size fixed, . - fixed
    .text
    .type helper, @function
helper:
    .cfi_startproc
    ret
    .cfi_endproc
    .size helper, . - helper
    .data
    .quad work, fixed
"""

# The one function whose indirect jump is allowed, with this for its body.
DISPATCHER = """
    .section .text.permanent, "ax"
    .type graft_measure_entry, @function
graft_measure_entry:
    .cfi_startproc
    {}
    .cfi_endproc
    .size graft_measure_entry, . - graft_measure_entry
"""

MACHINE = ["gcc", "-g", "-c", "-x", "assembler"]


class Case:
    def __init__(self, tool):
        self.tool, self.number, self.failed = tool, 0, 0

    def build(self, text, folder, tables=b"", build_id="sha1"):
        source, code, image = Path(folder, "t.s"), Path(folder, "t.o"), Path(folder, "t.elf")
        body = START + text + '    .section .graft_tables, "a"\n'
        body += "".join(f"    .byte {byte}\n" for byte in tables)
        source.write_text(body, encoding="utf-8")
        subprocess.run([*MACHINE, str(source), "-o", str(code)], check=True)
        subprocess.run(["ld", "-nostdlib", "-static", "-L", "mk", "-T", "linker.ld", f"--build-id={build_id}", "-z", "noexecstack", str(code),
                        "-o", str(image)], check=True)
        return image.rename(Path(folder, f"{self.number}-{len(tables)}.elf"))

    def ask(self, *words):
        done = subprocess.run([self.tool, *map(str, words)], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def expect(self, name, good, output):
        self.number += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}")
        if not good:
            print("\n".join("# " + line for line in output.splitlines()))


def changed(old, new):
    assert old in GOOD, old
    return GOOD.replace(old, new, 1)


def main():
    case = Case(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        def patchable(name, text, wanted):
            _, output = case.ask("patchable", case.build(text, folder))
            case.expect(name, wanted in output, output)

        def rows(name, text, wanted):
            code, output = case.ask("rows", case.build(text, folder))
            case.expect(name, (wanted in output and code == 1) if wanted else code == 0, output)

        patchable("permanent code reaches a helper", GOOD, "helper: via fixed\n")
        code, output = case.ask("patchable", case.build(GOOD, folder))
        case.expect("an upcall ends the list", "not closed" not in output and "nopatch=2" in output, output)
        case.expect("a list of 2 in 5 functions is too long", code == 1 and "too many: 2" in output, output)
        patchable("no-patch code that calls what can be patched", changed("jmp helper", "jmp work"),
                  "not closed: fixed+0x5: calls work, which can be patched")
        patchable("an indirect call in no-patch code", changed("jmp helper", "call *%rax\n ret"),
                  "not closed: fixed+0x5: indirect call or jump in no-patch code")
        patchable("an indirect call in what no-patch code reaches", changed("helper:\n    .cfi_startproc\n    ret",
                  "helper:\n    .cfi_startproc\n    call *(%rax)\n ret"), "not closed: helper+0x0: indirect call")

        patchable("an indirect jump in no-patch assembly", changed("jmp helper", "jmp *%rax"),
                  "not closed: fixed+0x5: indirect call or jump in no-patch code")
        patchable("an indirect jump in assembly that no-patch code reaches", changed("helper:\n    .cfi_startproc\n    ret",
                  "helper:\n    .cfi_startproc\n    jmp *(%rax)"), "not closed: helper+0x0: indirect call or jump")
        code, output = case.ask("patchable", case.build(GOOD + DISPATCHER.format("jmp *%r11"), folder))
        case.expect("the dispatcher jumps to a version", "not closed" not in output and "graft_measure_entry: permanent" in output, output)
        patchable("an indirect jump beside the dispatcher's", changed("jmp helper", "jmp *%rax") + DISPATCHER.format("jmp *%r11"),
                  "not closed: fixed+0x5: indirect call or jump in no-patch code")
        patchable("an indirect call in the dispatcher", GOOD + DISPATCHER.format("call *%r11\n    jmp *%r11"),
                  "not closed: graft_measure_entry+0x0: indirect call or jump in no-patch code")
        patchable("a function named like the dispatcher", GOOD + DISPATCHER.replace("graft_measure_entry", "graft_measure_entry_too").format("jmp *%r11"),
                  "not closed: graft_measure_entry_too+0x0: indirect call or jump in no-patch code")

        rows("rows that follow the stack pointer", GOOD, "")
        rows("a push without a row", changed("    .cfi_adjust_cfa_offset 8\n", ""), "work+0x6: the row says rsp+8")
        rows("a pop with a wrong row", changed("_offset -8\n", "_offset -16\n"), "work+0xc: the row says rsp+0")
        rows("a function without a frame description",
             changed("other:\n    .cfi_startproc", "other:\n").replace("    ret\n    .cfi_endproc\n    .size other", "    ret\n .size other"),
             "graft_upcall_up+0x0: no frame description")
        rows("a function without a size", changed("    .size helper, . - helper\n", ""), "helper: function without a size")

        rows("code without a name", changed("    .size helper, . - helper\n", "    .size helper, . - helper\n pushq %rax\n ret\n"),
             ": code that belongs to no function")

        first, second = case.build(GOOD, folder), case.build(GOOD, folder, b"1234")
        code, output = case.ask("check-link", first, second)
        case.expect("a second link with another build-id", code == 1 and "another build-id" in output, output)
        moved = case.build(changed("    .balign 16\nother:", "    .balign 64\nother:"), folder, b"12345")
        code, output = case.ask("check-link", first, moved)
        case.expect("a second link that moved a function", code == 1 and "has moved" in output, output)
        same = "0x" + 20 * "5a"
        first = case.build(GOOD, folder, b"", same)
        other = case.build(changed(".quad work, fixed", ".quad fixed, work"), folder, b"123456", same)
        code, output = case.ask("check-link", first, other)
        case.expect("a second link that changed content", code == 1 and "content has changed" in output, output)
        code, output = case.ask("check-link", first, case.build(GOOD, folder, b"1234567", same))
        case.expect("a second link that changed nothing", code == 0, output)
    print(f"1..{case.number}")
    return 1 if case.failed else 0


if __name__ == "__main__":
    sys.exit(main())
