// Functions of every shape that a walk must cross: leaf, large frame, variadic, realigned, recursive, switch-heavy,
// virtual with a this-adjusting thunk, indirect, never returning, and assembly that moves the stack pointer or ends in
// a jump.
//
// Included by one source of a test, which runs them instruction by instruction. That source defines what is declared
// first.
#pragma once

#include <cstdarg>

#include "base/types.h"

namespace graft::shapes {

// Gives the processor to the test's other task.
void give_way();
// Whether the never-returning function shall come to its end, and what it does then.
bool is_over();
[[noreturn]] void end();
// Called once a round through a pointer: the test may put something in its way.
u64 by_pointer(u64 value);

}  // namespace graft::shapes

extern "C" {
[[gnu::noinline]] graft::u64 shape_leaf(graft::u64 value);
graft::u64 shape_assembly(graft::u64 value);
graft::u64 shape_assembly_jump(graft::u64 value);
}

// clang-format off
asm(R"(
    .text
    .type shape_assembly, @function
shape_assembly:
    .cfi_startproc
    push %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_offset rbx, -16
    sub $48, %rsp
    .cfi_adjust_cfa_offset 48
    mov %rdi, %rbx
    call shape_leaf
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
    .size shape_assembly, . - shape_assembly
    .type shape_assembly_jump, @function
shape_assembly_jump:
    .cfi_startproc
    inc %rdi
    jmp shape_assembly
    .cfi_endproc
    .size shape_assembly_jump, . - shape_assembly_jump
)");
// clang-format on

graft::u64 shape_leaf(graft::u64 value) {
    return value * 3 + 1;
}

namespace graft::shapes {
namespace {

volatile u64 sink;
volatile bool never;

[[gnu::noinline, gnu::noclone]] u64 big_frame(u64 value) {
    volatile u8 buffer[9000];
    buffer[value % sizeof(buffer)] = static_cast<u8>(value);
    return shape_leaf(buffer[value % sizeof(buffer)]);
}

[[gnu::noinline, gnu::noclone]] u64 variadic(int count, ...) {
    va_list list;
    va_start(list, count);
    u64 sum = 0;
    for (int i = 0; i < count; ++i) sum += shape_leaf(va_arg(list, u64));
    va_end(list);
    return sum;
}

[[gnu::noinline, gnu::noclone]] u64 realigned(u64 value) {
    alignas(64) volatile u64 line[8];
    for (auto& word : line) word = value;
    return shape_leaf(line[value % 8]) + reinterpret_cast<u64>(&line) % 64;
}

// Both realigned and of a size that isn't known before: the frame address passes through r10 and memory.
[[gnu::noinline, gnu::noclone]] u64 realigned_variable(u64 value) {
    alignas(64) volatile u64 line[8];
    auto* variable = static_cast<volatile u64*>(__builtin_alloca((value % 16 + 1) * sizeof(u64)));
    for (u64 i = 0; i <= value % 16; ++i) {
        line[i % 8] = i;
        variable[i] = i;
    }
    return shape_leaf(variable[value % 16]) + line[0];
}

[[gnu::noinline, gnu::noclone]] u64 many_arguments(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f, u64 g, u64 h, u64 i) {
    return shape_leaf(a + b + c) + shape_leaf(d + e + f) + shape_leaf(g + h + i);
}

[[gnu::noinline, gnu::noclone]] u64 recursion(u64 depth) {
    return depth == 0 ? shape_leaf(1) : recursion(depth - 1) + depth;
}

[[gnu::noinline, gnu::noclone]] u64 switch_heavy(u64 value) {
    switch (value % 11) {
        case 0:
            return shape_leaf(1);
        case 1:
            return shape_leaf(2) + big_frame(value);
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
            return shape_assembly(value);
        case 8:
            return shape_assembly_jump(value);
        case 9:
            return variadic(2, value, value);
        default:
            return 5;
    }
}

// The idiom of saving and restoring the interrupt flag, whose call-frame information is exact only with frame pointers.
[[gnu::noinline, gnu::noclone]] u64 flags(u64 value) {
    u64 saved = 0;
    asm volatile("pushfq; popq %0" : "=r"(saved)::"memory");
    u64 again = __builtin_ia32_readeflags_u64();
    __builtin_ia32_writeeflags_u64(saved);
    return shape_leaf(value + (saved & 1) + (again & 1));
}

struct Big {
    u64 words[12];
};
[[gnu::noinline, gnu::noclone]] Big by_value(Big big, u64 value) {
    big.words[value % 12] = shape_leaf(value);
    return big;
}

struct First {
    virtual u64 first(u64 value) = 0;
};
struct Second {
    virtual u64 second(u64 value) = 0;
    u64 member = 1;
};
struct Both final : First, Second {
    [[gnu::noinline]] u64 first(u64 value) override { return shape_leaf(value); }
    // Called through a thunk that adjusts `this` and jumps.
    [[gnu::noinline]] u64 second(u64 value) override { return recursion(value % 3) + member + switch_heavy(value); }
};
constinit Both both;
Second* volatile as_second = &both;
First* volatile as_first = &both;

// The last instruction of what calls this is that call: the return address belongs to whatever follows.
[[noreturn, gnu::noinline, gnu::noclone]] void never_returns(u64 value) {
    for (; !is_over(); ++value) {
        sink = switch_heavy(value) + recursion(value % 4);
        give_way();
    }
    end();
}
[[noreturn, gnu::noinline, gnu::noclone]] void ends_in_call(u64 value) {
    sink = shape_leaf(value);
    never_returns(value);
}
[[gnu::noinline, gnu::noclone]] u64 may_not_return(u64 value) {
    if (!never) return big_frame(value);
    ends_in_call(value);
}

u64 (*volatile table[4])(u64) = {shape_leaf, recursion, shape_assembly, flags};

[[gnu::noinline, gnu::noclone]] u64 round(u64 value) {
    u64 sum = big_frame(value) + variadic(5, value, value, value, value, value) + realigned(value);
    sum += realigned_variable(value) + switch_heavy(value) + flags(value) + recursion(value % 9);
    sum += by_value(Big{}, value).words[value % 12] + as_first->first(value) + as_second->second(value);
    sum += table[value % 4](value % 5) + may_not_return(value) + by_pointer(value);
    give_way();
    return sum;
}

}  // namespace
}  // namespace graft::shapes
