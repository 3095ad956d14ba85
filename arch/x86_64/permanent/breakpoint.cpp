// Breakpoints: part of the protocol by which call sites are written (pure/poke_plan.h). A breakpoint at a known site
// goes to the site's current target, whatever the bytes there say by now; it never tries again, and a known site is
// never fatal.

#include "arch/x86_64/call_sites.h"
#include "arch/x86_64/permanent/state.h"

namespace graft::arch::permanent {

CallSite* call_sites;
usize call_site_count;
std::atomic<u64> breakpoints_taken;

CallSite* find_site(u64 entry) {
    usize low = 0;
    usize high = call_site_count;
    while (low < high) {
        usize middle = low + (high - low) / 2;
        if (call_sites[middle].entry < entry)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == call_site_count || call_sites[low].entry != entry) return nullptr;
    return &call_sites[low];
}

bool redirect_breakpoint(InterruptFrame* frame) {
    CallSite* site = find_site(frame->rip - 1);
    if (!site) return false;
    breakpoints_taken.fetch_add(1, std::memory_order_relaxed);  // only counts
    frame->rip = site->target.load(std::memory_order_acquire);
    return true;
}

}  // namespace graft::arch::permanent
