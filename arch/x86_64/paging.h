// Page tables: mapping, protection and translation of pages in the kernel's address space.
//
// There is one lower half, empty but for short moments at boot and in the text writer's private space, and one upper
// half that all address spaces share. Pages are never global, so a reload of CR3 flushes everything.
//
// Locking: none inside. Whoever changes mappings after boot serialises by a lock of the kernel's. Translation may run
// at any time (it may see a change half-way: old or new entry, never a mix). Context: any; table pages come from the
// PageSource, which must be callable there.
#pragma once

#include <span>

#include "arch/x86_64/memory_map.h"
#include "base/result.h"
#include "base/types.h"

namespace graft::arch {

// Where page tables and processor stacks come from.
class PageSource {
public:
    // `count` physically contiguous pages, reachable through the direct map, contents undefined; address 0 = none left.
    [[nodiscard]] virtual PhysAddr allocate_pages(usize count) = 0;

protected:
    ~PageSource() = default;
};

enum class PageAccess : u8 {
    read_only,     // no write, no execute
    read_write,    // no execute
    read_execute,  // no write
    device,        // read-write, no execute, uncached
};

enum class PagingFailure : u8 {
    no_memory,       // the PageSource has no page for a table
    already_mapped,  // something is mapped there
    not_mapped,      // nothing is mapped there
    large_page,      // a 2 MiB page covers the address: it is changed as a whole or not at all
    bad_address,     // misaligned, not canonical, or in a top-level slot that the map of memory_map.h doesn't use
};

struct PagingError {
    PagingFailure failure;
    VirtAddr address;
};

template <typename T>
using PagingResult = Result<T, PagingError>;

struct Mapping {
    PhysAddr physical;  // of the very address asked for
    u64 page_size;
    PageAccess access;
};

// Builds the final address space from the early one and switches this processor to it: image by its segments' rights,
// the given RAM in the direct map, all top-level slots of the upper half filled. Afterwards nothing is mapped in the
// lower half. `source` is used from here on for tables until set_page_source(). Context: boot processor, once.
void init_paging(std::span<const PhysRange> ram, PageSource& source);
void set_page_source(PageSource& source);

// Maps `size` bytes (all three page-aligned). On failure nothing stays mapped of the range. No flush is needed: an
// address that wasn't mapped is in no TLB.
[[nodiscard]] PagingResult<void> map(VirtAddr at, PhysAddr physical, u64 size, PageAccess access);
// The pages themselves belong to the caller. Afterwards every TLB that may hold the range must be flushed: see
// flush_tlbs() in sync.h. The whole range must be mapped by 4 KiB pages.
[[nodiscard]] PagingResult<void> unmap(VirtAddr at, u64 size);
// Changes the rights of mapped 4 KiB pages; flush afterwards, as for unmap(). A 2 MiB page of the direct map is split
// first.
[[nodiscard]] PagingResult<void> protect(VirtAddr at, u64 size, PageAccess access);
// Replaces the 2 MiB page of the direct map that begins at `at` by 512 small ones with its rights and its dirty bit.
// False when there are small ones already. Flush afterwards: a write by way of an older TLB entry marks no small page.
[[nodiscard]] PagingResult<bool> split(VirtAddr at);
// Undoes a split where all small pages still have equal rights; they count as written then. Returns the table's page,
// which is free after a flush, or null when nothing was joined. Nobody may translate an address in there meanwhile.
[[nodiscard]] PhysAddr join(VirtAddr at);
[[nodiscard]] PagingResult<Mapping> translate(VirtAddr address);

// Maps device registers for good and returns where; sub-page offsets are kept. Null when tables or addresses run out.
[[nodiscard]] VirtAddr map_mmio(PhysAddr physical, u64 size);

// The kernel's top-level table, for CR3.
[[nodiscard]] PhysAddr kernel_page_table();

}  // namespace graft::arch
