#include "arch/x86_64/pure/trampoline.h"

#include <asm/prctl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <limits>

// Calls `function` with every general register set to its pattern, and gives back the registers as the called version
// saw them. r11 carries the trampoline's address: it is free at a function's entry, and is not compared.
extern "C" void call_with_patterns(const void* function, graft::u64* seen);
extern "C" const char version_zero[];
extern "C" const char version_one[];

// clang-format off
asm(R"(
    .text
    .globl call_with_patterns, version_zero, version_one
call_with_patterns:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rsi
    mov %rdi, %r11
    mov $0x11, %rax
    mov $0x12, %rbx
    mov $0x13, %rcx
    mov $0x14, %rdx
    mov $0x15, %rsi
    mov $0x16, %rdi
    mov $0x17, %rbp
    mov $0x18, %r8
    mov $0x19, %r9
    mov $0x1a, %r10
    mov $0x1c, %r12
    mov $0x1d, %r13
    mov $0x1e, %r14
    mov $0x1f, %r15
    call *%r11
call_done:
    pop %rsi
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
    .macro version name, number
\name:
    mov 8(%rsp), %r11
    mov %rax, (%r11)
    mov %rbx, 8(%r11)
    mov %rcx, 16(%r11)
    mov %rdx, 24(%r11)
    mov %rsi, 32(%r11)
    mov %rdi, 40(%r11)
    mov %rbp, 48(%r11)
    mov %r8, 56(%r11)
    mov %r9, 64(%r11)
    mov %r10, 72(%r11)
    mov %r12, 80(%r11)
    mov %r13, 88(%r11)
    mov %r14, 96(%r11)
    mov %r15, 104(%r11)
    movq $\number, 112(%r11)
    lea call_done(%rip), %rax
    sub (%rsp), %rax
    mov %rax, 120(%r11)
    ret
    .endm
    version version_zero, 0
    version version_one, 1
)");
// clang-format on

namespace graft::arch {
namespace {

constexpr i32 kStateOffset = 0x20;

// A page of executable memory in reach of the program's own code.
class CodePage {
public:
    CodePage() {
        VirtAddr wish = VirtAddr(version_zero).align_down(4096) + (256u << 20);
        memory_ = mmap(wish.as<void>(), 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    }
    ~CodePage() { munmap(memory_, 4096); }
    bool ok() const { return memory_ != MAP_FAILED; }
    u8* bytes() const { return static_cast<u8*>(memory_); }

private:
    void* memory_;
};

TEST(ArchTrampoline, PicksByStateAndChangesNoRegister) {
    CodePage page;
    ASSERT_TRUE(page.ok());
    std::span<u8, kTrampolineSlot> slot(page.bytes(), kTrampolineSlot);
    ASSERT_TRUE(
        encode_trampoline(VirtAddr(page.bytes()), kStateOffset, VirtAddr(version_zero), VirtAddr(version_one), slot));
    u8 block[64]{};
    syscall(SYS_arch_prctl, ARCH_SET_GS, block);
    for (u8 state : {0, 1, 0, 1}) {
        block[kStateOffset] = state;
        u64 seen[16]{};
        call_with_patterns(page.bytes(), seen);
        const u64 expected[] = {0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1c, 0x1d, 0x1e, 0x1f};
        for (usize i = 0; i < std::size(expected); ++i) EXPECT_EQ(seen[i], expected[i]) << i;
        EXPECT_EQ(seen[14], state);
        EXPECT_EQ(seen[15], 0u) << "the return address isn't at the stack pointer";
        EXPECT_EQ(block[kStateOffset], state);
    }
    syscall(SYS_arch_prctl, ARCH_SET_GS, nullptr);
}

TEST(ArchTrampoline, HasTheDocumentedBytes) {
    std::array<u8, kTrampolineSlot> slot;
    VirtAddr at(0xffffffff80300000);
    ASSERT_TRUE(encode_trampoline(at, 0x20, at - 0x100, at + 0x1000, slot));
    const std::array<u8, kTrampolineSlot> expected = {
        0x65, 0x80, 0x3c, 0x25, 0x20, 0,    0,    0,    0,  // cmpb $0, %gs:0x20
        0x0f, 0x85, 0xf1, 0x0f, 0,    0,                    // jne at + 0x1000
        0xe9, 0xec, 0xfe, 0xff, 0xff,                       // jmp at - 0x100
        0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc};
    EXPECT_EQ(slot, expected);
}

TEST(ArchTrampoline, RefusesWhatIsOutOfReach) {
    VirtAddr at(0xffffffff80300000);
    VirtAddr near = at + 0x100;
    VirtAddr far(0xffff800000000000);
    std::array<u8, kTrampolineSlot> slot{};
    EXPECT_EQ(encode_trampoline(at, 0, far, near, slot).error().to, far);
    EXPECT_EQ(encode_trampoline(at, 0, near, far, slot).error().to, far);
    EXPECT_EQ(slot, (std::array<u8, kTrampolineSlot>{}));
}

TEST(ArchTrampoline, AGateLoadsItsIndexAndJumps) {
    std::array<u8, kGateSlot> slot{};
    VirtAddr at(0xffffffffa0000000);
    ASSERT_TRUE(encode_gate(at, 0x04030201, at + 0x1000, slot));
    std::array<u8, kGateSlot> expected = {0x41, 0xbb, 1, 2, 3, 4, 0xe9, 0xf5, 0x0f, 0, 0, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc};
    EXPECT_EQ(slot, expected);
    slot = {};
    EXPECT_FALSE(encode_gate(at, 1, VirtAddr(0xffff800000000000), slot));
    EXPECT_EQ(slot, (std::array<u8, kGateSlot>{}));
}

TEST(ArchTrampoline, DisplacementsReachExactlySoFar) {
    VirtAddr at(0xffffffff00000000);
    EXPECT_EQ(displacement(at, at + 0x7fffffff), 0x7fffffff);
    EXPECT_FALSE(displacement(at, at + 0x80000000));
    EXPECT_EQ(displacement(at, at - 0x80000000), std::numeric_limits<i32>::min());
    EXPECT_FALSE(displacement(at, at - 0x80000001));
    // The difference would fit when computed modulo 2^64.
    EXPECT_FALSE(displacement(VirtAddr(0xffffffffffffff00), VirtAddr(0x100)));
    EXPECT_FALSE(displacement(VirtAddr(0x100), VirtAddr(0xffffffffffffff00)));
}

TEST(ArchTrampoline, SiteJumpsGoWhereTheySay) {
    VirtAddr site(0xffffffff80200010);
    for (u64 distance : {u64{0x12345}, ~u64{0x12345}, u64{0}, u64{kSiteSize}}) {
        VirtAddr target = site + distance;
        auto bytes = encode_site_jump(site, target);
        ASSERT_TRUE(bytes);
        EXPECT_TRUE(is_site_jump(*bytes));
        EXPECT_EQ(site_jump_target(site, *bytes), target);
    }
    EXPECT_FALSE(encode_site_jump(site, VirtAddr(0xffff800000000000)));
    EXPECT_FALSE(is_site_jump(kSiteNop));
    EXPECT_FALSE(site_jump_target(site, kSiteNop));
}

}  // namespace
}  // namespace graft::arch
