// The permanent table of call sites: one entry a patchable function of the image, sorted by entry address. The
// breakpoint handler finds a site here while its bytes are being written, and whenever an emulator still runs old
// bytes: it goes to the site's current target and never tries again.
//
// The table is installed once at boot and never changes but for `target`, which only the text writer writes (poke.h).
#pragma once

#include <atomic>
#include <span>

#include "arch/x86_64/pure/trampoline.h"
#include "base/types.h"

namespace graft::arch {

struct MeasuredFunction;

struct CallSite {
    u64 entry = 0;
    // Where a call of this function goes now: entry + kSiteSize while the NOP stands there.
    // Written (release) by the text writer before the first breakpoint byte, read (acquire) by
    // permanent/breakpoint.cpp.
    std::atomic<u64> target{0};
    // While calls are measured (measuring.h): by what. Release by the kernel; acquire in permanent/measure.cpp.
    std::atomic<MeasuredFunction*> measured{nullptr};
};

// `sites` must be sorted by entry, stay for good, and have target = entry + kSiteSize. Context: boot, once.
void install_call_sites(std::span<CallSite> sites);

// Null when no call site of the image begins at `entry`. Context: any.
[[nodiscard]] CallSite* find_call_site(VirtAddr entry);

// How many breakpoints were taken at call sites since boot. Context: any.
[[nodiscard]] u64 breakpoints_at_call_sites();

}  // namespace graft::arch
