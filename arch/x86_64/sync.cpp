// What is built on rounds and on stopping, and runs neither while text is written nor with the world stopped on its way
// out: so it can be patched.

#include "arch/x86_64/sync.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/permanent/state.h"

namespace graft::arch {

using namespace permanent;

void flush_tlbs() {
    flush_generation.fetch_add(1, std::memory_order_acq_rel);
    synchronise_processors();
}

const InterruptFrame* stopped_frame(u32 index) {
    return sync_states[index].stopped.load(std::memory_order_acquire);
}

void stop_others_for_ever() {
    disable_interrupts();
    if (stopped_for_ever.exchange(true, std::memory_order_acq_rel)) halt_for_ever();
    u32 own = this_cpu().index;
    u32 count = processor_count.load(std::memory_order_acquire);
    for (u32 index = 0; index < count; ++index) {
        if (index == own) continue;
        send_nmi(index);
        (void)wait_for_nmi([&] { return sync_states[index].stopped.load(std::memory_order_acquire) != nullptr; });
    }
}

}  // namespace graft::arch
