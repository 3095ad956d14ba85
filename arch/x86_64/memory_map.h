// The one map of the kernel's address space. Each region but the image's has a top-level page-table slot of its own
// (512 GiB), filled once at boot, so that every address space (the kernel's, the text writer's, the one in which
// processors start) shares the upper half for good.
//
//   0xffff800000000000  direct map   all RAM at physical address + kDirectMap, read-write, never executable;
//                                    text and read-only data of the image and of sealed patches are read-only in it
//   0xffffc00000000000  heap         for the kernel: large areas mapped page by page
//   0xffffd00000000000  mmio         device registers, uncached (map_mmio)
//   0xffffe00000000000  stacks       task stacks with guard pages
//   0xffffffff80000000  image        physical 0 + this; the image begins at 2 MiB
//   0xffffffffa0000000  patches      patch text, data and trampolines: within +-2 GiB of the image
#pragma once

#include "base/types.h"

namespace graft::arch {

inline constexpr u64 kPageSize = 4096;
inline constexpr u64 kLargePageSize = 2 * 1024 * 1024;

inline constexpr u64 kDirectMap = 0xffff'8000'0000'0000;
inline constexpr u64 kDirectMapSize = 0x0000'0400'0000'0000;  // 4 TiB: 8 slots
inline constexpr AddressRange kHeapRegion = AddressRange::of(VirtAddr(0xffff'c000'0000'0000), 0x80'0000'0000);
inline constexpr AddressRange kMmioRegion = AddressRange::of(VirtAddr(0xffff'd000'0000'0000), 0x80'0000'0000);
inline constexpr AddressRange kStackRegion = AddressRange::of(VirtAddr(0xffff'e000'0000'0000), 0x80'0000'0000);
inline constexpr u64 kImageOffset = 0xffff'ffff'8000'0000;  // virtual = physical + this, for the image
inline constexpr AddressRange kPatchRegion = AddressRange::of(VirtAddr(0xffff'ffff'a000'0000), 0x2000'0000);

// Half-open.
struct PhysRange {
    PhysAddr begin;
    PhysAddr end;

    constexpr u64 size() const { return end - begin; }
    constexpr bool empty() const { return begin >= end; }
    constexpr bool operator==(const PhysRange&) const = default;
};

// Where RAM is seen in the direct map. Only for addresses that the memory map calls RAM, below kDirectMapSize.
constexpr VirtAddr direct_map(PhysAddr address) {
    return VirtAddr(kDirectMap + address.value);
}
// The inverse; `address` lies in the direct map.
constexpr PhysAddr direct_map_physical(VirtAddr address) {
    return PhysAddr{address.value - kDirectMap};
}
// `address` lies in the image.
constexpr PhysAddr image_physical(VirtAddr address) {
    return PhysAddr{address.value - kImageOffset};
}

}  // namespace graft::arch
