#include "kernel/measuring.h"

#include <new>

#include "arch/x86_64/call_sites.h"
#include "arch/x86_64/clock.h"
#include "arch/x86_64/measuring.h"
#include "arch/x86_64/pure/trampoline.h"
#include "arch/x86_64/sync.h"
#include "base/assert.h"
#include "kernel/call_site_table.h"
#include "kernel/code_map.h"
#include "kernel/memory.h"
#include "kernel/panic.h"
#include "kernel/patch_memory.h"

namespace graft::kernel {

namespace {

constinit VirtAddr first_gate;      // constant after make_gates()
constinit u32 last_generation = 0;  // lock: the registry's

constexpr u64 kSecond = 1'000'000'000;
constexpr u32 kGenerationMask = 0x7fff'ffff;

u8 side_in(patch::Universe universe, patch::Universe new_side) {
    return universe == new_side ? arch::kNewSide : arch::kOldSide;
}

// `state` is nobody's, or both versions mean the same to whoever has it.
void direct(arch::MeasuredFunction& function, usize state, VirtAddr version, u8 side) {
    function.side[state].store(side, std::memory_order_relaxed);
    function.version[state].store(version.value, std::memory_order_relaxed);
}

arch::MeasuredFunction* measured_at(VirtAddr entry) {
    arch::CallSite* site = arch::find_call_site(entry);
    return site ? site->measured.load(std::memory_order_relaxed) : nullptr;  // written under the registry's lock
}

bool prepare(const patch::Dispatch& dispatch, patch::Universe settled, patch::Universe new_side) {
    arch::CallSite* site = arch::find_call_site(dispatch.entry);
    if (!site) return false;
    void* memory = records_allocate(sizeof(arch::MeasuredFunction), alignof(arch::MeasuredFunction));
    if (!memory) return false;
    auto* function = new (memory) arch::MeasuredFunction;
    last_generation = (last_generation + 1) & kGenerationMask;
    function->generation = last_generation;
    VirtAddr version = dispatch.version[static_cast<usize>(settled)];
    for (usize state : {0, 1}) direct(*function, state, version, side_in(settled, new_side));
    site->measured.store(function, std::memory_order_release);  // pairs with permanent/measure.cpp
    return true;
}

u64 to_ns(u64 ticks) {
    u64 hz = arch::tsc_frequency_hz();
    if (hz == 0) return 0;
    return ticks / hz * kSecond + ticks % hz * kSecond / hz;  // below 2^64: hz is below 18 GHz
}

patch::MeasuredCalls read(const arch::MeasuredSide& side) {
    patch::MeasuredCalls calls;
    calls.timed = side.latency.count();
    calls.calls = side.calls.load(std::memory_order_relaxed);
    calls.untimed = side.untimed.load(std::memory_order_relaxed);
    calls.faults = side.faults.load(std::memory_order_relaxed);
    if (calls.timed == 0) return calls;
    calls.min_ns = to_ns(side.latency.least());
    calls.mean_ns = to_ns(side.latency.sum() / calls.timed);
    calls.p99_ns = to_ns(side.latency.percentile(99));
    return calls;
}

}  // namespace

void make_gates() {
    usize count = call_site_count();
    patch::MemoryRequest request;
    request.text_size = count * arch::kGateSlot;
    if (count == 0) return;
    auto memory = reserve_patch_memory(request);
    if (!memory) panic("no memory for the gates of measured functions");
    first_gate = memory->text.begin;
    for (u32 i = 0; i < count; ++i) {
        VirtAddr at = first_gate + i * arch::kGateSlot;
        std::span<u8, arch::kGateSlot> slot(at.as<u8>(), arch::kGateSlot);
        if (!arch::encode_gate(at, i, VirtAddr(graft_measure_entry), slot)) panic("a gate reaches only 2 GiB");
    }
    if (!seal_patch_memory(*memory)) panic("the gates of measured functions can't be sealed");
    if (!add_trampoline_code(AddressRange::of(first_gate, request.text_size))) panic("no record of the gates' code");
}

VirtAddr gate_of(VirtAddr entry) {
    const arch::CallSite* site = arch::find_call_site(entry);
    return site ? VirtAddr(first_gate + index_of(*site) * arch::kGateSlot) : VirtAddr();
}

patch::MachineResult<void> prepare_measuring(std::span<const patch::Dispatch> functions, patch::Universe settled,
                                             patch::Universe new_side) {
    for (usize i = 0; i < functions.size(); ++i) {
        if (measured_at(functions[i].entry)) continue;
        if (prepare(functions[i], settled, new_side)) continue;
        // What was there before goes on: a change measures all its functions or none, so there was nothing.
        stop_measuring(functions.first(i));
        return fail(patch::MachineError{patch::MachineFailure::no_memory, functions[i].entry, 0, 0,
                                        "counts of a measured function"});
    }
    return {};
}

void measure_both(std::span<const patch::Dispatch> functions, patch::Universe new_side) {
    for (const patch::Dispatch& dispatch : functions) {
        arch::MeasuredFunction* function = measured_at(dispatch.entry);
        GRAFT_ASSERT(function);
        for (usize state : {0, 1})
            direct(*function, state, dispatch.version[state], side_in(static_cast<patch::Universe>(state), new_side));
    }
}

void measure_one(std::span<const patch::Dispatch> functions, patch::Universe which, patch::Universe new_side) {
    for (const patch::Dispatch& dispatch : functions) {
        arch::MeasuredFunction* function = measured_at(dispatch.entry);
        GRAFT_ASSERT(function);
        for (usize state : {0, 1})
            direct(*function, state, dispatch.version[static_cast<usize>(which)], side_in(which, new_side));
    }
}

void stop_measuring(std::span<const patch::Dispatch> functions) {
    // Unlinked all, then freed all: one round of synchronisation, whose memory is the records' own list.
    arch::MeasuredFunction* unlinked = nullptr;
    for (const patch::Dispatch& dispatch : functions) {
        arch::CallSite* site = arch::find_call_site(dispatch.entry);
        arch::MeasuredFunction* function = site ? site->measured.exchange(nullptr, std::memory_order_acq_rel) : nullptr;
        if (!function) continue;
        function->next_stopped = unlinked;
        unlinked = function;
    }
    if (!unlinked) return;
    arch::synchronise_processors();
    while (unlinked) {
        arch::MeasuredFunction* next = unlinked->next_stopped;
        unlinked->~MeasuredFunction();
        records_release(unlinked);
        unlinked = next;
    }
}

patch::MeasuredFunction measured(VirtAddr entry) {
    const arch::MeasuredFunction* function = measured_at(entry);
    if (!function) return {};
    return {true, read(function->sides[arch::kOldSide]), read(function->sides[arch::kNewSide])};
}

void note_measured_fault(const Task& task) {
    auto open = task.context.measured.open();
    if (open.empty()) return;
    const arch::MeasuredReturn& innermost = open.back();
    arch::MeasuredFunction* function = call_site_at(innermost.site).measured.load(std::memory_order_acquire);
    if (!function || function->generation != innermost.generation) return;
    function->sides[innermost.side].faults.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace graft::kernel
