#include "tests/unit/arch_stepped_code.h"

#include "tests/call_shapes.h"

using graft::u64;
using graft::u8;
using graft::usize;

// clang-format off
asm(R"(
    .text

    # stepped_run(main, top, argument)
    .globl stepped_run
stepped_run:
    .cfi_startproc
    push %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_offset rbx, -16
    push %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_offset rbp, -24
    push %r12
    .cfi_adjust_cfa_offset 8
    .cfi_offset r12, -32
    push %r13
    .cfi_adjust_cfa_offset 8
    .cfi_offset r13, -40
    push %r14
    .cfi_adjust_cfa_offset 8
    .cfi_offset r14, -48
    push %r15
    .cfi_adjust_cfa_offset 8
    .cfi_offset r15, -56
    mov %rsp, stepped_host_rsp(%rip)
    mov %rdi, %rbx
    mov %rdx, %r12
    pushfq
    orq $0x100, (%rsp)
    popfq
    mov %rsi, %rsp
    jmp stepped_task_entry
    .cfi_endproc

    .globl stepped_task_entry, stepped_task_entry_end
stepped_task_entry:
    .cfi_startproc
    .cfi_undefined rip
    mov %r12, %rdi
    call *%rbx
    nop
stepped_task_entry_end:
    .cfi_endproc

    .cfi_startproc
    .cfi_undefined rip
    mov stepped_host_rsp(%rip), %rsp
    pushfq
    andq $~0x100, (%rsp)
    popfq
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
    .cfi_endproc

    # stepped_switch(u64* save, u64 load): every register that a callee saves goes to the stack, then the stack changes.
    .globl stepped_switch_resume
stepped_switch:
    .cfi_startproc
    push %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_offset rbx, -16
    push %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_offset rbp, -24
    push %r12
    .cfi_adjust_cfa_offset 8
    .cfi_offset r12, -32
    push %r13
    .cfi_adjust_cfa_offset 8
    .cfi_offset r13, -40
    push %r14
    .cfi_adjust_cfa_offset 8
    .cfi_offset r14, -48
    push %r15
    .cfi_adjust_cfa_offset 8
    .cfi_offset r15, -56
    mov %rsp, (%rdi)
    mov %rsi, %rsp
stepped_switch_resume:
    pop %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore r15
    pop %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore r14
    pop %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore r13
    pop %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    pop %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbp
    pop %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbx
    ret
    .cfi_endproc

    # Entered as an interrupt is: five words on a 16-aligned stack.
    .macro save register
    push %\register
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset \register, 0
    .endm
    .macro load register
    pop %\register
    .cfi_adjust_cfa_offset -8
    .cfi_restore \register
    .endm
    .globl stepped_interrupt
stepped_interrupt:
    .cfi_startproc
    .cfi_signal_frame
    .cfi_def_cfa rsp, 40
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    .irp register, rax, rbx, rcx, rdx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
    save \register
    .endr
    cld
    call stepped_interrupt_handler
    .irp register, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rdx, rcx, rbx, rax
    load \register
    .endr
    iretq
    .cfi_endproc

    # Reached by the return of a hooked function.
    .globl stepped_hook, stepped_hook_end
stepped_hook:
    .cfi_startproc
    .cfi_def_cfa_offset 0
    pushq stepped_hook_original(%rip)
    .cfi_adjust_cfa_offset 8
    push %rax
    .cfi_adjust_cfa_offset 8
    push %rdx
    .cfi_adjust_cfa_offset 8
    sub $8, %rsp
    .cfi_adjust_cfa_offset 8
    call stepped_hook_fired
    add $8, %rsp
    .cfi_adjust_cfa_offset -8
    pop %rdx
    .cfi_adjust_cfa_offset -8
    pop %rax
    .cfi_adjust_cfa_offset -8
    ret
stepped_hook_end:
    .cfi_endproc
)");
// clang-format on

extern "C" {

u64 stepped_host_rsp;
u64 stepped_saved_rsp[2];
u64 stepped_current;
u64 stepped_hook_slot;
u64 stepped_hook_original;
u64 stepped_hooks_fired;
u64 stepped_interrupts;
volatile bool stepped_interrupts_off;
u64 (*stepped_trampoline)(u64);

void stepped_switch(u64* save, u64 load);

[[gnu::noinline]] u64 stepped_version_zero(u64 value) {
    return shape_leaf(value) + 1;
}
[[gnu::noinline]] u64 stepped_version_one(u64 value) {
    return shape_leaf(shape_leaf(value));
}

u64 stepped_prepare(void* top, void (*main)(u64)) {
    auto* words = static_cast<u64*>(top);
    *--words = reinterpret_cast<u64>(stepped_task_entry);
    *--words = reinterpret_cast<u64>(main);    // rbx
    for (int i = 0; i < 5; ++i) *--words = 0;  // rbp, r12 … r15
    return reinterpret_cast<u64>(words);
}

}  // extern "C"

namespace graft::shapes {

void give_way() {
    bool were_off = stepped_interrupts_off;
    stepped_interrupts_off = true;
    u64 other = 1 - stepped_current;
    u64* save = &stepped_saved_rsp[stepped_current];
    stepped_current = other;
    stepped_switch(save, stepped_saved_rsp[other]);
    stepped_interrupts_off = were_off;
}

// The test abandons the second task when the first is done.
bool is_over() {
    stepped_interrupts_off = false;  // a task begins inside somebody's switch
    return false;
}
void end() {
    __builtin_trap();
}
u64 by_pointer(u64 value) {
    return stepped_trampoline(value);
}

}  // namespace graft::shapes

extern "C" {

void stepped_first(u64 rounds) {
    for (u64 i = 0; i < rounds; ++i) graft::shapes::sink = graft::shapes::round(i);
}

void stepped_second(u64) {
    graft::shapes::ends_in_call(7);
}

// Acknowledges, and sometimes preempts: the other task goes on while this one stays in its interrupt.
void stepped_interrupt_handler() {
    stepped_interrupts_off = true;
    ++stepped_interrupts;
    graft::shapes::sink = shape_leaf(stepped_interrupts);
    if (stepped_interrupts % 3 == 0) graft::shapes::give_way();
    stepped_interrupts_off = false;
}

void stepped_hook_fired() {
    ++stepped_hooks_fired;
    graft::shapes::sink = graft::shapes::recursion(2);
    stepped_hook_slot = 0;
}

}  // extern "C"
