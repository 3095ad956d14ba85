// The parts of ELF64 that a relocatable x86-64 object needs [gABI ch. 4, psABI §4].
#pragma once

#include <array>

#include "base/types.h"

namespace graft::patch::elf {

struct Header {
    std::array<u8, 16> ident;
    u16 type;
    u16 machine;
    u32 version;
    u64 entry;
    u64 program_headers;
    u64 section_headers;
    u32 flags;
    u16 header_size;
    u16 program_header_size;
    u16 program_header_count;
    u16 section_header_size;
    u16 section_header_count;
    u16 name_section;
};
static_assert(sizeof(Header) == 64);

inline constexpr std::array<u8, 7> kIdent = {0x7f, 'E', 'L', 'F', 2, 1, 1};  // 64 bit, little endian, version 1
inline constexpr u16 kTypeRelocatable = 1;
inline constexpr u16 kMachineX86_64 = 62;

struct Section {
    u32 name;
    u32 type;
    u64 flags;
    u64 address;
    u64 offset;
    u64 size;
    u32 link;
    u32 info;
    u64 alignment;
    u64 entry_size;
};
static_assert(sizeof(Section) == 64);

inline constexpr u32 kSectionNull = 0;
inline constexpr u32 kSectionProgram = 1;
inline constexpr u32 kSectionSymbols = 2;
inline constexpr u32 kSectionStrings = 3;
inline constexpr u32 kSectionRela = 4;
inline constexpr u32 kSectionNote = 7;
inline constexpr u32 kSectionZeros = 8;  // NOBITS
inline constexpr u32 kSectionRel = 9;
inline constexpr u32 kSectionInitArray = 14;
inline constexpr u32 kSectionUnwind = 0x70000001;  // X86_64_UNWIND [psABI §4.2.2]

inline constexpr u64 kFlagWrite = 1u << 0;
inline constexpr u64 kFlagAlloc = 1u << 1;
inline constexpr u64 kFlagExecute = 1u << 2;
inline constexpr u64 kFlagMerge = 1u << 4;
inline constexpr u64 kFlagStrings = 1u << 5;
inline constexpr u64 kFlagInfoLink = 1u << 6;
inline constexpr u64 kFlagLinkOrder = 1u << 7;
inline constexpr u64 kFlagGroup = 1u << 9;
inline constexpr u64 kFlagTls = 1u << 10;

struct Symbol {
    u32 name;
    u8 info;
    u8 visibility;
    u16 section;
    u64 value;
    u64 size;

    constexpr u8 type() const { return info & 0xf; }
    constexpr u8 binding() const { return info >> 4; }
};
static_assert(sizeof(Symbol) == 24);

inline constexpr u16 kSectionUndefined = 0;
inline constexpr u16 kSectionReserved = 0xff00;  // from here on no index of a section
inline constexpr u16 kSectionAbsolute = 0xfff1;
inline constexpr u16 kSectionCommon = 0xfff2;

inline constexpr u8 kSymbolFunction = 2;
inline constexpr u8 kSymbolFile = 4;
inline constexpr u8 kSymbolCommon = 5;
inline constexpr u8 kSymbolTls = 6;

inline constexpr u8 kBindLocal = 0;
inline constexpr u8 kBindGlobal = 1;
inline constexpr u8 kBindWeak = 2;
inline constexpr u8 kBindUnique = 10;  // STB_GNU_UNIQUE

struct Rela {
    u64 offset;
    u64 info;
    i64 addend;

    constexpr u32 type() const { return static_cast<u32>(info); }
    constexpr u32 symbol() const { return static_cast<u32>(info >> 32); }
};
static_assert(sizeof(Rela) == 24);

// [psABI §4.4.1]
inline constexpr u32 kRelocation64 = 1;
inline constexpr u32 kRelocationPc32 = 2;
inline constexpr u32 kRelocationPlt32 = 4;
inline constexpr u32 kRelocation32S = 11;

}  // namespace graft::patch::elf
