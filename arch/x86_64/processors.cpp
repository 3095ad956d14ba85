#include "arch/x86_64/processors.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/permanent/state.h"
#include "arch/x86_64/processor_setup.h"
#include "arch/x86_64/segments.h"
#include "base/assert.h"

extern "C" void graft_load_segments();

namespace graft::arch {

namespace {

// [intel/vol3 §7.7]
struct [[gnu::packed]] TaskState {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7];
    u64 reserved2;
    u16 reserved3;
    u16 io_map;
};
static_assert(sizeof(TaskState) == 104);

// Flat 64-bit code and data, present, accessed already: the processor never writes them [intel/vol3 §3.4.5].
constexpr u64 kCodeDescriptor = 0x00af'9b00'0000'ffff;
constexpr u64 kDataDescriptor = 0x00cf'9300'0000'ffff;
constexpr u64 kTaskStateType = 0x89;  // available 64-bit TSS, present

struct Block {
    PerCpu cpu;
    TaskState task_state;
    alignas(16) u64 descriptors[5];
    AddressRange ist[kIstCount];
};

Block boot_block;
alignas(16) u8 boot_ist_stacks[kIstCount][kIstStackSize];
Block* blocks[kMaxProcessors];

void init_block(Block& block, u32 index, u32 apic_id) {
    block.cpu.self = &block.cpu;
    block.cpu.index = index;
    block.cpu.apic_id = apic_id;
    block.task_state.io_map = sizeof(TaskState);
    for (usize entry = 0; entry < kIstCount; ++entry) block.task_state.ist[entry] = block.ist[entry].end.value;

    u64 base = reinterpret_cast<u64>(&block.task_state);
    block.descriptors[kCodeSelector / 8] = kCodeDescriptor;
    block.descriptors[kDataSelector / 8] = kDataDescriptor;
    block.descriptors[kTssSelector / 8] =
        (sizeof(TaskState) - 1) | (base & 0xff'ffff) << 16 | kTaskStateType << 40 | (base >> 24 & 0xff) << 56;
    block.descriptors[kTssSelector / 8 + 1] = base >> 32;
    blocks[index] = &block;
    permanent::processors[index] = &block.cpu;
}

void load_descriptors(Block& block) {
    struct [[gnu::packed]] {
        u16 limit;
        u64 base;
    } table{sizeof(block.descriptors) - 1, reinterpret_cast<u64>(block.descriptors)};
    asm volatile("lgdt %0" ::"m"(table));
    graft_load_segments();
    asm volatile("ltr %0" ::"r"(kTssSelector));
}

void enable_sse() {
    write_cr0((read_cr0() & ~(kCr0Emulation | kCr0TaskSwitched)) | kCr0MonitorCoprocessor | kCr0WriteProtect);
    write_cr4(read_cr4() | kCr4FxSave | kCr4SimdExceptions);
    // MXCSR is as it should be after a reset [intel/vol1 §10.2.3]; tasks bring their own.
    asm volatile("fninit");
}

}  // namespace

PerCpu* make_processor(u32 index, u32 apic_id, PageSource& source) {
    constexpr usize kBlockPages = (sizeof(Block) + kPageSize - 1) / kPageSize;
    constexpr usize kStackPages = kIstStackSize / kPageSize;
    PhysAddr memory = source.allocate_pages(kBlockPages + kIstCount * kStackPages);
    if (!memory) return nullptr;
    auto* block = direct_map(memory).as<Block>();
    *block = {};
    VirtAddr stacks = direct_map(memory + kBlockPages * kPageSize);
    for (usize entry = 0; entry < kIstCount; ++entry)
        block->ist[entry] = AddressRange::of(VirtAddr(stacks + entry * kIstStackSize), kIstStackSize);
    init_block(*block, index, apic_id);
    return &block->cpu;
}

void load_processor(PerCpu& cpu) {
    load_descriptors(*blocks[cpu.index]);
    // Loading a selector into GS clears its base, so this comes after.
    write_msr(kMsrGsBase, reinterpret_cast<u64>(&cpu));
    load_interrupt_table();
    enable_sse();
}

void init_boot_processor() {
    for (usize entry = 0; entry < kIstCount; ++entry)
        boot_block.ist[entry] = AddressRange::of(VirtAddr(&boot_ist_stacks[entry][0]), kIstStackSize);
    // The APIC id becomes known with the local APIC (init_local_apic()).
    init_block(boot_block, 0, cpuid(1).ebx >> 24);
    load_processor(boot_block.cpu);
    permanent::processor_count.store(1, std::memory_order_release);
}

u32 processor_count() {
    return permanent::processor_count.load(std::memory_order_acquire);
}

PerCpu& processor(u32 index) {
    GRAFT_ASSERT(index < processor_count());
    return *permanent::processors[index];
}

AddressRange ist_stack(u32 index, u8 ist) {
    GRAFT_ASSERT(index < processor_count() && ist >= 1 && ist <= kIstCount);
    return blocks[index]->ist[ist - 1];
}

}  // namespace graft::arch
