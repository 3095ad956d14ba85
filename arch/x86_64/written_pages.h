// Which pages were written: the dirty bits that processors set in page tables [intel/vol3 §4.8].
//
// A processor sets a page's bit when it writes by way of a TLB entry that it loaded while the bit was clear. So after
// the bits were cleared, every TLB must be flushed (flush_tlbs()), and only then what is written from now on is marked.
// What a device writes by itself marks nothing.
#pragma once

#include "arch/x86_64/memory_map.h"
#include "base/function_ref.h"
#include "base/types.h"

namespace graft::arch {

enum class DirtyBits : u8 { keep, clear };

// Calls visit(physical, size) for each written page that is mapped in the range (page-aligned), 4 KiB or 2 MiB large.
// Locking and context as for paging.h: whoever changes mappings is kept away.
void visit_written_pages(AddressRange range, DirtyBits bits, FunctionRef<void(PhysAddr physical, u64 size)> visit);

}  // namespace graft::arch
