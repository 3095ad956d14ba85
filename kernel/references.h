// The search for words that point into given ranges: all writable memory that is alive, and the registers of all tasks.
//
// Searched: the image's data, live objects of the heap and pages of raw use, the used part of every stack with the
// registers saved there, SSE states (heap objects), the data of patches. Not searched: free memory, the records heap,
// page tables, what a device alone has written. Of the calling task only what it will return to: its frames hold the
// ranges as values.
//
// Two steps. The first looks through everything but stacks and patch data's owners while the system runs, page by page,
// and again through what was written meanwhile, until that is little or becomes no less (kernel/clean_pages.h). It
// reports nothing: a page where something was found just isn't clean. The second stops all other processors, looks
// through the pages that aren't clean, object by object, through all stacks and registers, and reports.
//
//   system        memory                               clean_pages
//   --------------+------------------------------------+---------------------------------------------------
//   runs          | pass 1: all pages                  | dirty bits cleared, TLBs flushed before each pass
//   runs          | pass 2 …: what was written         |
//   stopped       | what was written since, what held a hit, what was given out anew; stacks, registers
#pragma once

#include <span>

#include "patch/machine.h"

namespace graft::kernel {

// The first step. `ranges` are needed during the call only. One search at a time. Context: task.
void prepare_reference_search(std::span<const AddressRange> ranges);

// The second step, of a search for the same ranges; without the first one everything is looked through here.
// Lock: the registry's. Context: task.
patch::SearchReport search_references(std::span<const AddressRange> ranges, patch::ReferenceSink& sink);

}  // namespace graft::kernel
