#include "tools/image/unwind_tables.h"

#include <Zydis/Zydis.h>
#include <dwarf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <cstring>

#include "base/reader.h"

namespace graft::tools {

using formats::ImageFrame;

namespace {

constexpr u8 kPointerAbsolute = 0x00;         // DW_EH_PE_absptr
constexpr u8 kPointerRelativeSigned4 = 0x1b;  // DW_EH_PE_pcrel | DW_EH_PE_sdata4

u64 read_leb128(Reader& reader) {
    u64 value = 0;
    for (unsigned shift = 0; shift < 63 && reader.ok(); shift += 7) {
        u8 byte = reader.read<u8>();
        value |= u64{byte & 0x7fu} << shift;
        if ((byte & 0x80) == 0) break;
    }
    return value;
}

// The encoding of the pointers in the FDEs of the CIE at `at`. [lsb §10.6.1.1.1]
u8 pointer_encoding(std::span<const std::byte> table, usize at) {
    Reader reader(table);
    reader.seek(at + 8);
    u8 version = reader.read<u8>();
    std::string augmentation;
    while (u8 character = reader.read<u8>()) augmentation.push_back(static_cast<char>(character));
    read_leb128(reader);  // code alignment
    read_leb128(reader);  // data alignment
    read_leb128(reader);  // return address register
    if (!reader.ok() || version != 1) stop(".eh_frame: CIE of unknown version");
    if (augmentation.empty()) return kPointerAbsolute;
    if (augmentation != "zR" && augmentation != "zRS") stop(".eh_frame: CIE with augmentation " + augmentation);
    read_leb128(reader);  // length of the augmentation
    return reader.read<u8>();
}

struct Pointers {
    u64 begin;
    u64 size;
};

Pointers read_pointers(Reader& reader, u64 section, u8 encoding) {
    u64 at = section + reader.position();
    if (encoding == kPointerRelativeSigned4) {
        u64 begin = at + static_cast<u64>(i64{reader.read<i32>()});
        return {begin, reader.read<u32>()};
    }
    if (encoding == kPointerAbsolute) {
        u64 begin = reader.read<u64>();
        return {begin, reader.read<u64>()};
    }
    stop(".eh_frame: unknown pointer encoding");
}

}  // namespace

std::vector<ImageFrame> read_frames(const ElfImage& image) {
    AddressRange section = image.range("__eh_frame_begin", "__eh_frame_end");
    const u64 base = image.bound("__image_begin");
    auto table = image.bytes(section.begin.value, section.size());
    std::vector<ImageFrame> frames;
    Reader reader(table);
    while (reader.ok() && reader.remaining() >= 4) {
        usize start = reader.position();
        u32 length = reader.read<u32>();
        if (length == 0) continue;  // a terminator, or padding between objects
        usize end = start + 4 + length;
        u32 cie_distance = reader.read<u32>();
        if (length == 0xffffffff || end > table.size() || length < 4) stop(".eh_frame: malformed record");
        if (cie_distance != 0) {
            if (cie_distance > start + 4) stop(".eh_frame: CIE before the section");
            Pointers code =
                read_pointers(reader, section.begin.value, pointer_encoding(table, start + 4 - cie_distance));
            bool listed = code.begin >= base && code.size != 0;
            if (listed)
                frames.push_back(
                    {static_cast<u32>(code.begin - base), static_cast<u32>(code.size), static_cast<u32>(start)});
        }
        reader.seek(end);
    }
    if (!reader.ok()) stop(".eh_frame: truncated");
    std::sort(frames.begin(), frames.end(), [](auto& a, auto& b) { return a.begin < b.begin; });
    for (usize i = 1; i < frames.size(); ++i)
        if (frames[i - 1].begin + frames[i - 1].size > frames[i].begin)
            stop(".eh_frame: two descriptions of the code at " + hex_text(base + frames[i].begin));
    return frames;
}

namespace {

// The rule by which the caller's stack pointer is found at one instruction.
struct CfaRule {
    bool known = false;
    bool stack_based = false;  // rsp + offset
    i64 offset = 0;
    bool ends_walk = false;  // the return address is said to be undefined
};

class Rows {
public:
    explicit Rows(const ElfImage& image) : cfi_(dwarf_getcfi_elf(image.elf())) {
        if (cfi_ == nullptr) stop(image.path() + ": no call-frame information");
    }

    CfaRule at(u64 address) const {
        Dwarf_Frame* frame = nullptr;
        if (dwarf_cfi_addrframe(cfi_, address, &frame) != 0) return {};
        CfaRule rule;
        Dwarf_Op* operations = nullptr;
        size_t count = 0;
        if (dwarf_frame_cfa(frame, &operations, &count) == 0 && count > 0) {
            rule.known = true;
            // libdw gives a register rule as one breg/bregx operation. [dwarf §2.5.1.2]
            bool one = count == 1;
            unsigned atom = operations[0].atom;
            if (one && atom == DW_OP_breg7) rule = {true, true, static_cast<i64>(operations[0].number), false};
            if (one && atom == DW_OP_bregx && operations[0].number == 7)
                rule = {true, true, static_cast<i64>(operations[0].number2), false};
        }
        std::free(frame);
        return rule;
    }

private:
    Dwarf_CFI* cfi_;
};

bool writes_stack_pointer(const Instruction& instruction) {
    for (unsigned i = 0; i < instruction.decoded.operand_count; ++i) {
        const auto& operand = instruction.operands[i];
        if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER && operand.reg.value == ZYDIS_REGISTER_RSP &&
            (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0)
            return true;
    }
    return false;
}

// By how much an instruction moves rsp downwards; nothing when that can't be said.
std::optional<i64> growth(const Instruction& instruction) {
    const auto& operands = instruction.operands;
    switch (instruction.decoded.mnemonic) {
        case ZYDIS_MNEMONIC_PUSH:
        case ZYDIS_MNEMONIC_PUSHFQ:
            return 8;
        case ZYDIS_MNEMONIC_POP:
        case ZYDIS_MNEMONIC_POPFQ:
            if (operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER && operands[0].reg.value == ZYDIS_REGISTER_RSP)
                return std::nullopt;
            return -8;
        case ZYDIS_MNEMONIC_SUB:
            if (operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) return operands[1].imm.value.s;
            return std::nullopt;
        case ZYDIS_MNEMONIC_ADD:
            if (operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) return -operands[1].imm.value.s;
            return std::nullopt;
        case ZYDIS_MNEMONIC_LEA:
            if (operands[1].mem.base == ZYDIS_REGISTER_RSP && operands[1].mem.index == ZYDIS_REGISTER_NONE)
                return -operands[1].mem.disp.value;
            return std::nullopt;
        default:
            return std::nullopt;
    }
}

// Instructions after which control doesn't go on at the next address with the stack pointer that they leave.
bool ends_flow(const Instruction& instruction) {
    switch (instruction.decoded.mnemonic) {
        case ZYDIS_MNEMONIC_RET:
        case ZYDIS_MNEMONIC_IRETQ:
        case ZYDIS_MNEMONIC_IRETD:
        case ZYDIS_MNEMONIC_CALL:
            return true;
        default:
            return false;
    }
}

void check_function(const ElfImage& image, const Rows& rows, const Function& function,
                    std::vector<std::string>& findings) {
    auto report = [&](u64 address, const std::string& what) {
        findings.push_back(demangled(function.name()) + "+" + hex_text(address - function.entry) + ": " + what);
    };
    auto visit = [&](const Instruction& instruction) {
        CfaRule before = rows.at(instruction.address);
        if (!before.known) return report(instruction.address, "no frame description");
        if (!writes_stack_pointer(instruction) || ends_flow(instruction)) return;
        if (!function.contains(instruction.next())) return;
        CfaRule after = rows.at(instruction.next());
        if (!before.stack_based) {
            // From a frame register back to rsp is right only after leave, or a pop/mov that restores rsp itself.
            return;
        }
        auto moved = growth(instruction);
        if (!after.stack_based) return;
        if (moved && after.offset != before.offset + *moved)
            report(instruction.next(), "the row says rsp+" + std::to_string(after.offset) +
                                           ", the instruction before makes it rsp+" +
                                           std::to_string(before.offset + *moved));
        // A stack switch in assembly may keep the same distance; the compiler never moves rsp unseen.
        if (!moved && !function.assembly)
            report(instruction.next(), "rsp changes by an unknown amount without a frame register");
    };
    if (!FunctionList::for_each_instruction(image, function, visit))
        report(function.entry, "bytes can't be decoded to the end");
}

// Between functions there may be padding only: code that no symbol covers would escape every other check.
void check_gaps(const ElfImage& image, const FunctionList& functions, std::vector<std::string>& findings) {
    const AddressRange text = image.range("__text_begin", "__text_end");
    u64 covered = text.begin.value;
    auto check = [&](u64 end) {
        if (end <= covered) return;
        Function gap;
        gap.entry = covered;
        gap.size = end - covered;
        bool padding = true;
        bool decoded = FunctionList::for_each_instruction(image, gap, [&](const Instruction& instruction) {
            auto mnemonic = instruction.decoded.mnemonic;
            if (mnemonic != ZYDIS_MNEMONIC_NOP && mnemonic != ZYDIS_MNEMONIC_INT3) padding = false;
        });
        if (!decoded || !padding) findings.push_back(hex_text(covered) + ": code that belongs to no function");
    };
    for (const auto& [entry, function] : functions.all()) {
        if (!text.contains(VirtAddr(entry))) continue;
        check(entry);
        covered = std::max(covered, entry + function.size);
    }
    check(text.end.value);
}

}  // namespace

std::vector<std::string> check_rows(const ElfImage& image, const FunctionList& functions) {
    std::vector<std::string> findings;
    Rows rows(image);
    for (const auto& [entry, function] : functions.all()) {
        if (function.start_code) continue;
        if (function.size == 0) {
            findings.push_back(demangled(function.name()) + ": function without a size");
            continue;
        }
        check_function(image, rows, function, findings);
    }
    check_gaps(image, functions, findings);
    return findings;
}

}  // namespace graft::tools
