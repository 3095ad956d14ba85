// Page tables [intel/vol3 §4.5]: four levels, 4 KiB pages, 2 MiB pages in the direct map. Tables are reached through
// the direct map, of which the early page tables have the first 4 GiB at the same addresses.

#include "arch/x86_64/paging.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/page_entry.h"
#include "base/assert.h"

extern "C" {
extern const char __init_text_begin[];
extern const char __text_end[];
extern const char __rodata_begin[], __rodata_end[];
extern const char __data_begin[], __bss_end[];
extern const char __graft_tables_begin[], __graft_tables_end[];
}

namespace graft::arch {

namespace {

PageSource* page_source;
PhysAddr top_table;
VirtAddr next_mmio = kMmioRegion.begin;

constexpr u64 rights_of(PageAccess access) {
    switch (access) {
        case PageAccess::read_only:
            return kPresent | kNoExecute;
        case PageAccess::read_write:
            return kPresent | kWritable | kNoExecute;
        case PageAccess::read_execute:
            return kPresent;
        case PageAccess::device:
            return kPresent | kWritable | kNoExecute | kWriteThrough | kCacheDisable;
    }
    return 0;
}

constexpr PageAccess access_of(u64 entry) {
    if (entry & kCacheDisable) return PageAccess::device;
    if (entry & kWritable) return PageAccess::read_write;
    return entry & kNoExecute ? PageAccess::read_only : PageAccess::read_execute;
}

PhysAddr new_table() {
    PhysAddr page = page_source->allocate_pages(1);
    if (!page) return page;
    auto* entries = direct_map(page).as<Entry>();
    for (unsigned index = 0; index < kEntries; ++index) entries[index] = 0;
    return page;
}

bool is_mapped_region(VirtAddr at, u64 size) {
    if (size == 0 || at.value + size < at.value) return false;
    AddressRange range = AddressRange::of(at, size);
    AddressRange image = AddressRange::of(VirtAddr(kImageOffset), kPatchRegion.end - VirtAddr(kImageOffset));
    AddressRange direct = AddressRange::of(VirtAddr(kDirectMap), kDirectMapSize);
    for (const AddressRange& region : {direct, kHeapRegion, kMmioRegion, kStackRegion, image})
        if (region.contains(range)) return true;
    return false;
}

PagingResult<void> check_range(VirtAddr at, PhysAddr physical, u64 size) {
    bool aligned = at.is_aligned(kPageSize) && physical.is_aligned(kPageSize) && size % kPageSize == 0;
    if (!aligned || !is_mapped_region(at, size)) return fail(PagingError{PagingFailure::bad_address, at});
    return {};
}

// The entry at `level` for the address; the tables above it are made when `create` says so.
PagingResult<Entry*> entry_for(VirtAddr at, unsigned level, bool create) {
    Entry* table = direct_map(top_table).as<Entry>();
    for (unsigned above = kTopLevel; above > level; --above) {
        Entry& entry = table[index_at(at, above)];
        if (!(entry & kPresent)) {
            if (!create) return fail(PagingError{PagingFailure::not_mapped, at});
            PhysAddr fresh = new_table();
            if (!fresh) return fail(PagingError{PagingFailure::no_memory, at});
            entry = fresh.value | kTableRights;
        } else if (entry & kLarge) {
            return fail(PagingError{PagingFailure::large_page, at});
        }
        table = table_at(entry);
    }
    return &table[index_at(at, level)];
}

// Replaces the 2 MiB page around `at` by 512 small ones with the same rights.
PagingResult<bool> split_large_page(VirtAddr at) {
    Entry* entry = GRAFT_TRY(entry_for(at, 2, false));
    if (!(*entry & kPresent) || !(*entry & kLarge)) return false;
    PhysAddr fresh = new_table();
    if (!fresh) return fail(PagingError{PagingFailure::no_memory, at});
    u64 first = *entry & kAddressMask;
    u64 rights = *entry & ~(kAddressMask | kLarge);
    auto* small = direct_map(fresh).as<Entry>();
    for (unsigned index = 0; index < kEntries; ++index) small[index] = (first + index * kPageSize) | rights;
    *entry = fresh.value | kTableRights;
    return true;
}

// Whether 512 small pages are one large one in pieces: consecutive, aligned, of equal rights.
bool are_alike(Entry* small) {
    constexpr u64 kOwn = kAccessed | kDirty;
    u64 first = small[0] & ~kOwn;
    if (!(first & kPresent) || (first & kAddressMask) % kLargePageSize != 0) return false;
    for (unsigned index = 1; index < kEntries; ++index) {
        if ((small[index] & ~kOwn) != first + index * kPageSize) return false;
    }
    return true;
}

PagingResult<void> map_page(VirtAddr at, PhysAddr physical, PageAccess access) {
    Entry* entry = GRAFT_TRY(entry_for(at, 1, true));
    if (*entry & kPresent) return fail(PagingError{PagingFailure::already_mapped, at});
    *entry = physical.value | rights_of(access);
    return {};
}

void clear_pages(VirtAddr at, u64 size) {
    for (u64 done = 0; done < size; done += kPageSize) {
        auto entry = entry_for(at + done, 1, false);
        if (entry) **entry = 0;
    }
}

// ---- the final address space ----

void must(const PagingResult<void>& result) {
    GRAFT_ASSERT(result.has_value());
}

void fill_top_slots(VirtAddr begin, u64 size) {
    constexpr u64 kSlot = u64{1} << 39;
    auto* top = direct_map(top_table).as<Entry>();
    for (u64 offset = 0; offset < size; offset += kSlot) {
        Entry& entry = top[index_at(begin + offset, kTopLevel)];
        if (entry & kPresent) continue;
        PhysAddr table = new_table();
        GRAFT_ASSERT(table);
        entry = table.value | kTableRights;
    }
}

AddressRange pages_of(const char* begin, const char* end) {
    return {VirtAddr(VirtAddr(begin).align_down(kPageSize)), VirtAddr(VirtAddr(end).align_up(kPageSize))};
}

struct Segment {
    AddressRange pages;
    PageAccess access;
};

void map_segment(const Segment& segment) {
    VirtAddr begin = segment.pages.begin;
    if (!segment.pages.empty()) must(map(begin, image_physical(begin), segment.pages.size(), segment.access));
}

// What nobody may write through the direct map: the image's text and constants.
bool is_protected(PhysAddr page) {
    VirtAddr address(page.value + kImageOffset);
    return pages_of(__init_text_begin, __rodata_end).contains(address) ||
           pages_of(__graft_tables_begin, __graft_tables_end).contains(address);
}

bool holds_protected(PhysAddr large_page) {
    AddressRange range = AddressRange::of(VirtAddr(large_page.value + kImageOffset), kLargePageSize);
    return pages_of(__init_text_begin, __rodata_end).overlaps(range) ||
           pages_of(__graft_tables_begin, __graft_tables_end).overlaps(range);
}

void map_ram(PhysRange ram) {
    PhysAddr at = ram.begin.align_down(kPageSize);
    PhysAddr end = ram.end.align_up(kPageSize);
    while (at < end) {
        VirtAddr target = direct_map(at);
        bool whole = at.is_aligned(kLargePageSize) && end - at >= kLargePageSize && !holds_protected(at);
        auto entry = entry_for(target, whole ? 2 : 1, true);
        // Ranges may share their first or last page: it is mapped once.
        bool fresh = entry.has_value() && !(**entry & kPresent);
        GRAFT_ASSERT(entry.has_value() || entry.error().failure == PagingFailure::large_page);
        if (fresh && whole) {
            **entry = at.value | kLarge | rights_of(PageAccess::read_write);
        } else if (fresh) {
            **entry = at.value | rights_of(is_protected(at) ? PageAccess::read_only : PageAccess::read_write);
        }
        at += whole ? kLargePageSize : kPageSize;
    }
}

}  // namespace

void init_paging(std::span<const PhysRange> ram, PageSource& source) {
    page_source = &source;
    top_table = new_table();
    GRAFT_ASSERT(top_table);
    AddressRange direct = AddressRange::of(VirtAddr(kDirectMap), kDirectMapSize);
    AddressRange image = AddressRange::of(VirtAddr(kImageOffset), kPageSize);
    for (const AddressRange& region : {direct, kHeapRegion, kMmioRegion, kStackRegion, image})
        fill_top_slots(region.begin, region.size());

    const Segment segments[] = {
        {pages_of(__init_text_begin, __text_end), PageAccess::read_execute},
        {pages_of(__rodata_begin, __rodata_end), PageAccess::read_only},
        {pages_of(__data_begin, __bss_end), PageAccess::read_write},
        {pages_of(__graft_tables_begin, __graft_tables_end), PageAccess::read_only},
    };
    for (const Segment& segment : segments) map_segment(segment);
    for (const PhysRange& range : ram) {
        PhysAddr limit{kDirectMapSize};
        if (range.begin < limit) map_ram({range.begin, range.end < limit ? range.end : limit});
    }
    write_cr3(top_table.value);
}

void set_page_source(PageSource& source) {
    page_source = &source;
}

PagingResult<void> map(VirtAddr at, PhysAddr physical, u64 size, PageAccess access) {
    GRAFT_CHECK(check_range(at, physical, size));
    for (u64 done = 0; done < size; done += kPageSize) {
        auto mapped = map_page(at + done, physical + done, access);
        if (mapped) continue;
        clear_pages(at, done);
        return mapped;
    }
    return {};
}

PagingResult<void> unmap(VirtAddr at, u64 size) {
    GRAFT_CHECK(check_range(at, PhysAddr{0}, size));
    for (u64 done = 0; done < size; done += kPageSize) {
        Entry* entry = GRAFT_TRY(entry_for(at + done, 1, false));
        if (!(*entry & kPresent)) return fail(PagingError{PagingFailure::not_mapped, at + done});
    }
    clear_pages(at, size);
    return {};
}

PagingResult<void> protect(VirtAddr at, u64 size, PageAccess access) {
    GRAFT_CHECK(check_range(at, PhysAddr{0}, size));
    for (u64 done = 0; done < size; done += kPageSize) {
        GRAFT_CHECK(split_large_page(at + done));
        Entry* entry = GRAFT_TRY(entry_for(at + done, 1, false));
        if (!(*entry & kPresent)) return fail(PagingError{PagingFailure::not_mapped, at + done});
        *entry = (*entry & kAddressMask) | rights_of(access);
    }
    return {};
}

PagingResult<bool> split(VirtAddr at) {
    GRAFT_CHECK(check_range(at, PhysAddr{0}, kLargePageSize));
    return split_large_page(at);
}

PhysAddr join(VirtAddr at) {
    auto entry = entry_for(at, 2, false);
    if (!entry || !at.is_aligned(kLargePageSize) || !(**entry & kPresent) || (**entry & kLarge)) return {};
    u64 table = **entry & kAddressMask;
    Entry* small = table_at(table);
    if (!are_alike(small)) return {};
    **entry = small[0] | kAccessed | kDirty | kLarge;
    return PhysAddr{table};
}

PagingResult<Mapping> translate(VirtAddr address) {
    if (!is_mapped_region(address, 1)) return fail(PagingError{PagingFailure::bad_address, address});
    auto entry = entry_for(address, 1, false);
    u64 page_size = kPageSize;
    if (!entry && entry.error().failure == PagingFailure::large_page) {
        entry = entry_for(address, 2, false);
        page_size = kLargePageSize;
    }
    if (!entry) return fail(entry.error());
    u64 value = **entry;
    if (!(value & kPresent)) return fail(PagingError{PagingFailure::not_mapped, address});
    PhysAddr physical{(value & kAddressMask & ~(page_size - 1)) + (address.value & (page_size - 1))};
    return Mapping{physical, page_size, access_of(value)};
}

VirtAddr map_mmio(PhysAddr physical, u64 size) {
    if (size == 0 || physical.value + size < physical.value) return {};
    PhysAddr first = physical.align_down(kPageSize);
    u64 pages = (physical + size).align_up(kPageSize) - first;
    if (pages > kMmioRegion.end - next_mmio) return {};
    VirtAddr at = next_mmio;
    if (!map(at, first, pages, PageAccess::device)) return {};
    next_mmio = VirtAddr(at + pages);
    return VirtAddr(at + (physical - first));
}

PhysAddr kernel_page_table() {
    return top_table;
}

}  // namespace graft::arch
