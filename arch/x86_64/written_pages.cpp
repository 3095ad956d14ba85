#include "arch/x86_64/written_pages.h"

#include "arch/x86_64/page_entry.h"
#include "arch/x86_64/paging.h"

namespace graft::arch {

namespace {

using Visit = FunctionRef<void(PhysAddr physical, u64 size)>;

// One locked instruction: a processor may set another bit of the entry at the same time.
void clear_dirty(Entry& entry) {
    asm volatile("lock andq %1, %0" : "+m"(entry) : "e"(~static_cast<i64>(kDirty)) : "memory", "cc");
}

void visit_page(Entry& entry, u64 size, DirtyBits bits, Visit visit) {
    u64 value = entry;
    if (!(value & kDirty)) return;
    if (bits == DirtyBits::clear) clear_dirty(entry);
    visit(PhysAddr{value & kAddressMask & ~(size - 1)}, size);
}

void visit_table(Entry* table, unsigned level, AddressRange range, DirtyBits bits, Visit visit) {
    u64 span = span_at(level);
    VirtAddr at = range.begin;
    while (at < range.end) {
        // Not by the next span's begin, which is 0 at the end of the address space.
        u64 left = span - (at - at.align_down(span));
        VirtAddr end = left < range.end - at ? VirtAddr(at + left) : range.end;
        Entry& entry = table[index_at(at, level)];
        u64 value = entry;
        if (!(value & kPresent)) {
            // Nothing is mapped here.
        } else if (level == 1 || (value & kLarge)) {
            visit_page(entry, span, bits, visit);
        } else {
            visit_table(table_at(value), level - 1, {at, end}, bits, visit);
        }
        at = end;
    }
}

}  // namespace

void visit_written_pages(AddressRange range, DirtyBits bits, Visit visit) {
    if (range.empty()) return;
    visit_table(direct_map(kernel_page_table()).as<Entry>(), kTopLevel, range, bits, visit);
}

}  // namespace graft::arch
