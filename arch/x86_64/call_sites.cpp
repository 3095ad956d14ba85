#include "arch/x86_64/call_sites.h"

#include "arch/x86_64/permanent/state.h"
#include "base/assert.h"

namespace graft::arch {

void install_call_sites(std::span<CallSite> sites) {
    for (usize index = 1; index < sites.size(); ++index) GRAFT_ASSERT(sites[index - 1].entry < sites[index].entry);
    permanent::call_sites = sites.data();
    permanent::call_site_count = sites.size();
}

CallSite* find_call_site(VirtAddr entry) {
    return permanent::find_site(entry.value);
}

u64 breakpoints_at_call_sites() {
    return permanent::breakpoints_taken.load(std::memory_order_relaxed);  // only counts
}

}  // namespace graft::arch
