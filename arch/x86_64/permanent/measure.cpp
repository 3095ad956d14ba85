// The choice, the counting and the return addresses of measured calls. See arch/x86_64/measuring.h.

#include "arch/x86_64/measuring.h"

#include "arch/x86_64/permanent/state.h"
#include "arch/x86_64/return_hook.h"

namespace graft::arch::permanent {

namespace {

[[gnu::always_inline]] inline u64 read_tsc() {
    u32 low;
    u32 high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return u64{high} << 32 | low;
}

// What is written before is in memory before what is written after, for who walks this task's stack.
[[gnu::always_inline]] inline void keep_order() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

// The place for the call's record, or null.
MeasuredReturn* place_for(Context* context, u64 slot, u64 original) {
    if (context == nullptr || original == reinterpret_cast<u64>(graft_return_hook)) return nullptr;
    MeasuredReturns& returns = context->measured;
    if (returns.depth == kMaxMeasuredDepth) return nullptr;
    if (returns.depth != 0 && slot >= returns.records[returns.depth - 1].slot) return nullptr;
    return &returns.records[returns.depth];
}

}  // namespace

// Returns where the call goes on. `slot` holds its return address. Context: interrupts off.
extern "C" u64 graft_measured_enter(u32 index, volatile u64* slot) {
    CallSite& site = call_sites[index];
    MeasuredFunction* function = site.measured.load(std::memory_order_acquire);  // pairs with the kernel's publication
    if (function == nullptr) return site.target.load(std::memory_order_acquire);
    PerCpu& cpu = this_cpu();
    u8 state = cpu.patch_state;
    u8 side = function->side[state].load(std::memory_order_relaxed);  // ordered by the change of the patch state
    MeasuredSide& counts = function->sides[side];
    counts.calls.fetch_add(1, std::memory_order_relaxed);
    u64 original = *slot;
    MeasuredReturn* record = place_for(cpu.context, reinterpret_cast<u64>(slot), original);
    u64 version = function->version[state].load(std::memory_order_relaxed);
    if (record == nullptr) {
        counts.untimed.fetch_add(1, std::memory_order_relaxed);
        return version;
    }
    record->slot = reinterpret_cast<u64>(slot);
    record->original = original;
    record->site = index;
    record->generation = function->generation;
    record->side = side;
    record->began_tsc = read_tsc();
    keep_order();
    ++cpu.context->measured.depth;
    keep_order();
    *slot = reinterpret_cast<u64>(graft_measure_return);
    return version;
}

// Puts the original into `slot`, where it stood before. Context: interrupts off.
extern "C" void graft_measured_leave(volatile u64* slot) {
    u64 now = read_tsc();
    MeasuredReturns& returns = this_cpu().context->measured;
    MeasuredReturn* record = nullptr;
    for (u32 depth = returns.depth; depth != 0 && record == nullptr; --depth)
        if (returns.records[depth - 1].slot == reinterpret_cast<u64>(slot)) record = &returns.records[depth - 1];
    if (record == nullptr) __builtin_trap();  // the address is lost: nothing can go on here
    MeasuredReturn done = *record;
    *slot = done.original;
    keep_order();
    returns.depth = static_cast<u32>(record - returns.records.data());
    keep_order();
    *record = {};
    MeasuredFunction* function = call_sites[done.site].measured.load(std::memory_order_acquire);  // as above
    if (function == nullptr || function->generation != done.generation) return;
    function->sides[done.side].latency.add(now > done.began_tsc ? now - done.began_tsc : 0);
}

}  // namespace graft::arch::permanent
