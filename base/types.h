// Fixed-width integers and strong types for addresses and sizes.
//
// A VirtAddr is an address as the image sees it, a PhysAddr one on the memory bus. Neither converts to the other or to
// an integer silently: mixing them up is the classic paging bug. Arithmetic that a caller needs is spelled out here;
// wrapping input-derived sums are checked with checked_add()/checked_mul().
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace graft {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
using usize = std::size_t;
using uptr = std::uintptr_t;

template <typename Tag>
struct Address {
    u64 value = 0;

    constexpr auto operator<=>(const Address&) const = default;
    constexpr Address operator+(u64 bytes) const { return {value + bytes}; }
    constexpr Address operator-(u64 bytes) const { return {value - bytes}; }
    constexpr u64 operator-(Address other) const { return value - other.value; }
    constexpr Address& operator+=(u64 bytes) {
        value += bytes;
        return *this;
    }
    constexpr explicit operator bool() const { return value != 0; }
    // `alignment` is a power of two.
    constexpr Address align_down(u64 alignment) const { return {value & ~(alignment - 1)}; }
    constexpr Address align_up(u64 alignment) const { return {(value + alignment - 1) & ~(alignment - 1)}; }
    constexpr bool is_aligned(u64 alignment) const { return (value & (alignment - 1)) == 0; }
};

using PhysAddr = Address<struct PhysTag>;

struct VirtAddr : Address<struct VirtTag> {
    constexpr VirtAddr() = default;
    constexpr VirtAddr(Address<struct VirtTag> address) : Address(address) {}
    constexpr explicit VirtAddr(u64 raw) : Address{raw} {}
    explicit VirtAddr(const void* pointer) : Address{reinterpret_cast<u64>(pointer)} {}

    template <typename T = void>
    T* as() const {
        return reinterpret_cast<T*>(value);
    }
};

// Half-open: [begin, end). An empty range contains nothing and overlaps nothing.
struct AddressRange {
    VirtAddr begin;
    VirtAddr end;

    static constexpr AddressRange of(VirtAddr start, u64 size) { return {start, start + size}; }
    constexpr u64 size() const { return end - begin; }
    constexpr bool empty() const { return begin >= end; }
    constexpr bool contains(VirtAddr address) const { return address >= begin && address < end; }
    constexpr bool contains(AddressRange other) const { return other.begin >= begin && other.end <= end; }
    constexpr bool overlaps(AddressRange other) const {
        return !empty() && !other.empty() && begin < other.end && other.begin < end;
    }
    constexpr bool operator==(const AddressRange&) const = default;
};

template <std::unsigned_integral T>
constexpr std::optional<T> checked_add(T left, T right) {
    T sum{};
    if (__builtin_add_overflow(left, right, &sum)) return std::nullopt;
    return sum;
}

template <std::unsigned_integral T>
constexpr std::optional<T> checked_mul(T left, T right) {
    T product{};
    if (__builtin_mul_overflow(left, right, &product)) return std::nullopt;
    return product;
}

// `alignment` is a power of two; nothing when the result would wrap.
template <std::unsigned_integral T>
constexpr std::optional<T> checked_align_up(T value, T alignment) {
    auto sum = checked_add<T>(value, alignment - 1);
    if (!sum) return std::nullopt;
    return *sum & ~(alignment - 1);
}

}  // namespace graft
