// Text writes on running processors: call sites of the image become jumps and NOPs again, in batches. The order of
// steps is pure/poke_plan.h's; this executes it: four rounds of synchronise_processors() a batch, whatever its size.
//
// Text is never writable where it can be executed: the bytes go through an alias in an address space that only the
// writer enters, with interrupts off, for a few sites at a time.
#pragma once

#include <span>

#include "base/result.h"
#include "base/types.h"

namespace graft::arch {

struct SiteWrite {
    VirtAddr entry;
    VirtAddr target;  // null: the NOP comes back
};

enum class SiteWriteFailure : u8 {
    unknown_site,   // no call site begins at `entry`
    found_foreign,  // the bytes there are not what was last written (a debugger's breakpoint, for one)
    out_of_reach,   // the target is further than a 32-bit displacement reaches
};

struct SiteWriteError {
    SiteWriteFailure failure;
    VirtAddr entry;
    u64 found = 0;  // the five bytes, lowest address in the lowest byte
    u64 expected = 0;
};

// Sets up the private address space. Context: boot processor, once, after init_paging().
void init_poke();

// When it returns, every processor executes the new bytes, and the table of call sites has the new targets. Fails only
// before the first write. A breakpoint taken meanwhile goes to the new target: old and new must be equivalent for every
// task now. `writes` is sorted in place by entry; an entry may occur once. Locking: one caller at a time (asserted).
// Context: task, interrupts on; doesn't sleep, may be preempted between steps.
[[nodiscard]] Result<void, SiteWriteError> write_sites(std::span<SiteWrite> writes);

}  // namespace graft::arch
