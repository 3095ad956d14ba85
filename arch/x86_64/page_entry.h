// Entries of page tables [intel/vol3 §4.5]: bits and indices. For the files that walk tables themselves.
#pragma once

#include "arch/x86_64/memory_map.h"
#include "base/types.h"

namespace graft::arch {

inline constexpr u64 kPresent = 1u << 0;
inline constexpr u64 kWritable = 1u << 1;
inline constexpr u64 kWriteThrough = 1u << 3;
inline constexpr u64 kCacheDisable = 1u << 4;
inline constexpr u64 kAccessed = 1u << 5;
inline constexpr u64 kDirty = 1u << 6;
inline constexpr u64 kLarge = 1u << 7;
inline constexpr u64 kNoExecute = u64{1} << 63;
inline constexpr u64 kAddressMask = 0x000f'ffff'ffff'f000;
inline constexpr u64 kTableRights = kPresent | kWritable;

inline constexpr unsigned kEntries = 512;
inline constexpr unsigned kTopLevel = 4;

using Entry = volatile u64;

// Level 4 is the top table, level 1 holds 4 KiB pages.
constexpr unsigned index_at(VirtAddr address, unsigned level) {
    return static_cast<unsigned>(address.value >> (12 + 9 * (level - 1))) % kEntries;
}
// What one entry of a table at `level` covers.
constexpr u64 span_at(unsigned level) {
    return u64{1} << (12 + 9 * (level - 1));
}

inline Entry* table_at(u64 entry) {
    return direct_map(PhysAddr{entry & kAddressMask}).as<Entry>();
}

}  // namespace graft::arch
