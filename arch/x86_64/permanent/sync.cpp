// Rounds of all processors: serialise, flush, stand still. The protocol is described in arch/x86_64/sync.h.

#include "arch/x86_64/sync.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/permanent/state.h"

namespace graft::arch {

namespace permanent {

SyncState sync_states[kMaxProcessors];
u64 silence_bound_tsc;
std::atomic<u64> flush_generation{0};
std::atomic<bool> stopped_for_ever{false};

namespace {

// The last round begun. Pairs: fetch_add (acq_rel) in begin_round(), acquire in answer() and answer_if_asked().
std::atomic<u64> last_round{0};
// Whether the world is stopped or being stopped. Pairs: acquire in WorldStopped(), release in ~WorldStopped().
std::atomic<bool> stop_owned{false};
// Pairs: release by the one who stops, acquire in stand_still().
std::atomic<bool> stop_wanted{false};

void answer_if_asked() {
    InterruptsOff off;
    SyncState& own = sync_states[this_cpu().index];
    if (own.answered.load(std::memory_order_relaxed) < last_round.load(std::memory_order_acquire)) answer();
}

void copy_frame(InterruptFrame* to, const InterruptFrame* from) {
    auto* target = reinterpret_cast<volatile u64*>(to);
    auto* source = reinterpret_cast<const volatile u64*>(from);
    for (usize word = 0; word < sizeof(InterruptFrame) / sizeof(u64); ++word) target[word] = source[word];
}

// Finds out by NMI where a silent processor is, and says so.
void report_silent(u32 index, u64 waited_ns) {
    SyncState& state = sync_states[index];
    state.report.store(1, std::memory_order_release);
    send_nmi(index);
    bool found = wait_for_nmi([&] { return state.report.load(std::memory_order_acquire) == 2; });
    graft_upcall_processor_silent(index, waited_ns, found ? &state.found : nullptr);
}

void wait_for_answer(u32 index, u64 round) {
    SyncState& state = sync_states[index];
    u64 begin = read_tsc();
    u64 bounds = 0;
    while (state.answered.load(std::memory_order_acquire) < round) {
        answer_if_asked();
        pause();
        if (silence_bound_tsc == 0 || read_tsc() - begin < (bounds + 1) * silence_bound_tsc) continue;
        ++bounds;
        report_silent(index, bounds * kSilenceBoundNs);
    }
}

}  // namespace

void answer() {
    SyncState& own = sync_states[this_cpu().index];
    u64 round = last_round.load(std::memory_order_acquire);
    u64 flush = flush_generation.load(std::memory_order_acquire);
    if (own.flushed < flush) {
        flush_tlb();
        own.flushed = flush;
    }
    (void)cpuid(0);
    own.answered.store(round, std::memory_order_release);
}

void stand_still(const InterruptFrame* frame) {
    SyncState& own = sync_states[this_cpu().index];
    // A message may arrive after its reason is gone.
    if (!stop_wanted.load(std::memory_order_acquire)) return;
    // The task's SSE registers are to be seen in memory, too, by whoever searches it meanwhile.
    Context* context = this_cpu().context;
    if (context && context->fpu) asm volatile("fxsave64 (%0)" ::"r"(context->fpu) : "memory");
    own.stopped.store(frame, std::memory_order_release);
    while (stop_wanted.load(std::memory_order_acquire)) {
        answer_if_asked();
        pause();
    }
    own.stopped.store(nullptr, std::memory_order_release);
}

void handle_nmi(InterruptFrame* frame) {
    SyncState& own = sync_states[this_cpu().index];
    if (stopped_for_ever.load(std::memory_order_acquire)) {
        own.stopped.store(frame, std::memory_order_release);
        halt_for_ever();
    }
    // Several that wait may ask at a time: one answer serves all, and whoever comes late finds it given.
    u32 report = own.report.load(std::memory_order_acquire);
    if (report == 1) {
        copy_frame(&own.found, frame);
        own.report.store(2, std::memory_order_release);
    }
    if (report != 0) return;
    graft_upcall_fatal(frame, "non-maskable interrupt");
}

}  // namespace permanent

void synchronise_processors() {
    using namespace permanent;
    u64 round;
    {
        InterruptsOff off;
        round = last_round.fetch_add(1, std::memory_order_acq_rel) + 1;
        answer();
        send_interrupt_to_others(kVectorSync);
    }
    u32 count = processor_count.load(std::memory_order_acquire);
    for (u32 index = 0; index < count; ++index) wait_for_answer(index, round);
}

WorldStopped::WorldStopped() {
    using namespace permanent;
    // With interrupts on between the tries: whoever owns it waits for this processor to stand still.
    for (;;) {
        disable_interrupts();
        if (!stop_owned.exchange(true, std::memory_order_acquire)) break;
        enable_interrupts();
        pause();
    }
    stop_wanted.store(true, std::memory_order_release);
    send_interrupt_to_others(kVectorStop);
    u32 own = this_cpu().index;
    u32 count = processor_count.load(std::memory_order_acquire);
    for (u32 index = 0; index < count; ++index) {
        if (index == own) continue;
        while (!sync_states[index].stopped.load(std::memory_order_acquire)) {
            answer_if_asked();
            pause();
        }
    }
}

WorldStopped::~WorldStopped() {
    using namespace permanent;
    stop_wanted.store(false, std::memory_order_release);
    u32 own = this_cpu().index;
    u32 count = processor_count.load(std::memory_order_acquire);
    for (u32 index = 0; index < count; ++index)
        while (index != own && sync_states[index].stopped.load(std::memory_order_acquire)) pause();
    stop_owned.store(false, std::memory_order_release);
    enable_interrupts();
}

}  // namespace graft::arch
