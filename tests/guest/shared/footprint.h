// What has to be the same whenever no patch is there and only a workload's long-lived tasks are. What doesn't count:
// free pages; stacks that are kept for reuse; page tables, since those of the region for patches stay once made (at
// most 256) while freed addresses rest unused.
#pragma once

#include <array>
#include <string_view>

#include "base/text.h"
#include "kernel/code_map.h"
#include "kernel/console.h"
#include "kernel/memory.h"
#include "kernel/stacks.h"

namespace graft::tests {

struct Footprint {
    std::array<u64, kernel::kPageUseCount> pages{};
    u64 heap_bytes = 0;
    u64 record_bytes = 0;
    u64 code_areas = 0;
    u64 stacks = 0;

    bool operator==(const Footprint&) const = default;
};

inline Footprint footprint() {
    auto pages = kernel::page_statistics().by_use;
    for (auto use : {kernel::PageUse::free, kernel::PageUse::stack, kernel::PageUse::tables})
        pages[static_cast<usize>(use)] = 0;
    return {
        .pages = pages,
        .heap_bytes = kernel::heap_statistics().bytes,
        .record_bytes = kernel::records_statistics().bytes,
        .code_areas = kernel::code_region_count(),
        .stacks = kernel::stack_statistics().in_use,
    };
}

inline void report(std::string_view what, const Footprint& footprint) {
    Text<240> line;
    line.append("# ", what, ": pages");
    for (u64 pages : footprint.pages) line.append(" ", pages);
    line.append(" heap ", footprint.heap_bytes, " records ", footprint.record_bytes, " code ", footprint.code_areas,
                " stacks ", footprint.stacks, "\n");
    kernel::console_write(line.view());
}

}  // namespace graft::tests
