// The search for words that point into given ranges: all writable memory that is alive, and the registers of all tasks.
//
// Searched: the image's data, live objects of the heap and pages of raw use, the used part of every stack with the
// registers saved there, SSE states (heap objects), the data of patches. Not searched: free memory, the records heap,
// page tables, the ranges themselves. Of the calling task only what it will return to: its frames hold the ranges as
// values.
#pragma once

#include <span>

#include "patch/machine.h"

namespace graft::kernel {

// Stops the world meanwhile. Lock: the registry's. Context: task.
void search_references(std::span<const AddressRange> ranges, patch::ReferenceSink& sink);

}  // namespace graft::kernel
