#include "tests/unit/arch_stepped_code.h"

#include <cstdarg>

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

    # A hand-written function that moves the stack pointer in steps, and one that ends in a jump.
stepped_assembly:
    .cfi_startproc
    push %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_offset rbx, -16
    sub $48, %rsp
    .cfi_adjust_cfa_offset 48
    mov %rdi, %rbx
    call stepped_leaf
    pushq %rax
    .cfi_adjust_cfa_offset 8
    popq %rcx
    .cfi_adjust_cfa_offset -8
    lea (%rbx, %rcx), %rax
    add $48, %rsp
    .cfi_adjust_cfa_offset -48
    pop %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbx
    ret
    .cfi_endproc
stepped_assembly_jump:
    .cfi_startproc
    inc %rdi
    jmp stepped_assembly
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
u64 stepped_assembly(u64 value);
u64 stepped_assembly_jump(u64 value);

[[gnu::noinline]] u64 stepped_leaf(u64 value) {
    return value * 3 + 1;
}
[[gnu::noinline]] u64 stepped_version_zero(u64 value) {
    return stepped_leaf(value) + 1;
}
[[gnu::noinline]] u64 stepped_version_one(u64 value) {
    return stepped_leaf(stepped_leaf(value));
}

u64 stepped_prepare(void* top, void (*main)(u64)) {
    auto* words = static_cast<u64*>(top);
    *--words = reinterpret_cast<u64>(stepped_task_entry);
    *--words = reinterpret_cast<u64>(main);    // rbx
    for (int i = 0; i < 5; ++i) *--words = 0;  // rbp, r12 … r15
    return reinterpret_cast<u64>(words);
}

}  // extern "C"

namespace {

#define NOINLINE [[gnu::noinline, gnu::noclone]]

volatile u64 sink;
volatile bool never;

void switch_tasks() {
    bool were_off = stepped_interrupts_off;
    stepped_interrupts_off = true;
    u64 other = 1 - stepped_current;
    u64* save = &stepped_saved_rsp[stepped_current];
    stepped_current = other;
    stepped_switch(save, stepped_saved_rsp[other]);
    stepped_interrupts_off = were_off;
}

NOINLINE u64 big_frame(u64 value) {
    volatile u8 buffer[9000];
    buffer[value % sizeof(buffer)] = static_cast<u8>(value);
    return stepped_leaf(buffer[value % sizeof(buffer)]);
}

NOINLINE u64 variadic(int count, ...) {
    va_list list;
    va_start(list, count);
    u64 sum = 0;
    for (int i = 0; i < count; ++i) sum += stepped_leaf(va_arg(list, u64));
    va_end(list);
    return sum;
}

NOINLINE u64 realigned(u64 value) {
    alignas(64) volatile u64 line[8];
    for (auto& word : line) word = value;
    return stepped_leaf(line[value % 8]) + reinterpret_cast<u64>(&line) % 64;
}

// Both realigned and of a size that isn't known before: the frame address passes through r10 and memory.
NOINLINE u64 realigned_variable(u64 value) {
    alignas(64) volatile u64 line[8];
    auto* variable = static_cast<volatile u64*>(__builtin_alloca((value % 16 + 1) * sizeof(u64)));
    for (u64 i = 0; i <= value % 16; ++i) {
        line[i % 8] = i;
        variable[i] = i;
    }
    return stepped_leaf(variable[value % 16]) + line[0];
}

NOINLINE u64 many_arguments(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f, u64 g, u64 h, u64 i) {
    return stepped_leaf(a + b + c) + stepped_leaf(d + e + f) + stepped_leaf(g + h + i);
}

NOINLINE u64 recursion(u64 depth) {
    return depth == 0 ? stepped_leaf(1) : recursion(depth - 1) + depth;
}

NOINLINE u64 switch_heavy(u64 value) {
    switch (value % 11) {
        case 0:
            return stepped_leaf(1);
        case 1:
            return stepped_leaf(2) + big_frame(value);
        case 2:
            return recursion(3);
        case 3:
            return value;
        case 4:
            return realigned(value);
        case 5:
            return many_arguments(1, 2, 3, 4, 5, 6, 7, 8, value);
        case 6:
            return 12;
        case 7:
            return stepped_assembly(value);
        case 8:
            return stepped_assembly_jump(value);
        case 9:
            return variadic(2, value, value);
        default:
            return 5;
    }
}

// The idiom of saving and restoring the interrupt flag, whose call-frame information is exact only with frame pointers.
NOINLINE u64 flags(u64 value) {
    u64 saved = 0;
    asm volatile("pushfq; popq %0" : "=r"(saved)::"memory");
    u64 again = __builtin_ia32_readeflags_u64();
    __builtin_ia32_writeeflags_u64(saved);
    return stepped_leaf(value + (saved & 1) + (again & 1));
}

struct Big {
    u64 words[12];
};
NOINLINE Big by_value(Big big, u64 value) {
    big.words[value % 12] = stepped_leaf(value);
    return big;
}

struct First {
    virtual u64 first(u64 value) = 0;
};
struct Second {
    virtual u64 second(u64 value) = 0;
    u64 member = 1;
};
struct Both : First, Second {
    NOINLINE u64 first(u64 value) override { return stepped_leaf(value); }
    // Called through a thunk that adjusts `this` and jumps.
    NOINLINE u64 second(u64 value) override { return recursion(value % 3) + member + switch_heavy(value); }
};
Both both;
Second* volatile as_second = &both;
First* volatile as_first = &both;

// Its last instruction is the call: the return address belongs to whatever follows.
[[noreturn]] NOINLINE void never_returns(u64 value) {
    stepped_interrupts_off = false;  // a task begins inside somebody's switch
    for (;; ++value) {
        sink = switch_heavy(value) + recursion(value % 4);
        switch_tasks();
    }
}
[[noreturn]] NOINLINE void ends_in_call(u64 value) {
    sink = stepped_leaf(value);
    never_returns(value);
}
NOINLINE u64 may_not_return(u64 value) {
    if (!never) return big_frame(value);
    ends_in_call(value);
}

u64 (*volatile indirect)(u64) = stepped_leaf;
u64 (*volatile table[4])(u64) = {stepped_leaf, recursion, stepped_assembly, flags};

NOINLINE u64 round(u64 value) {
    u64 sum = big_frame(value) + variadic(5, value, value, value, value, value) + realigned(value);
    sum += realigned_variable(value) + switch_heavy(value) + flags(value) + recursion(value % 9);
    sum += by_value(Big{}, value).words[value % 12] + as_first->first(value) + as_second->second(value);
    sum += indirect(value) + table[value % 4](value % 5) + may_not_return(value) + stepped_trampoline(value);
    switch_tasks();
    return sum;
}

}  // namespace

extern "C" {

void stepped_first(u64 rounds) {
    for (u64 i = 0; i < rounds; ++i) sink = round(i);
}

void stepped_second(u64) {
    ends_in_call(7);
}

// Acknowledges, and sometimes preempts: the other task goes on while this one stays in its interrupt.
void stepped_interrupt_handler() {
    stepped_interrupts_off = true;
    ++stepped_interrupts;
    sink = stepped_leaf(stepped_interrupts);
    if (stepped_interrupts % 3 == 0) switch_tasks();
    stepped_interrupts_off = false;
}

void stepped_hook_fired() {
    ++stepped_hooks_fired;
    sink = recursion(2);
    stepped_hook_slot = 0;
}

}  // extern "C"
