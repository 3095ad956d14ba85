#include "tools/differ/listing.h"

#include <algorithm>
#include <array>
#include <bit>

#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include "tools/differ/equality.h"

namespace graft::differ {
namespace {

constexpr usize kLongestName = 200;
constexpr usize kShownAround = 3;         // equal instructions around a difference
constexpr usize kMostCompared = 1 << 24;  // pairs of instructions; beyond, all counts as different

// What the formatter asks while it writes one instruction.
struct Writing {
    std::span<const std::byte> code;
    u64 address;
    const CodeNames* names;
    u64 at = 0;
    std::string inner_target;  // "+0x1c", when the instruction has one

    std::string name_of(const ZydisFormatterContext& context);
};

struct Formatter {
    ZydisFormatter formatter;
    ZydisFormatterFunc address = &print_address;
    ZydisFormatterFunc displacement = &print_displacement;
    ZydisFormatterFunc immediate = &print_immediate;

    Formatter() {
        ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
        set(ZYDIS_FORMATTER_FUNC_PRINT_ADDRESS_ABS, address);
        set(ZYDIS_FORMATTER_FUNC_PRINT_DISP, displacement);
        set(ZYDIS_FORMATTER_FUNC_PRINT_IMM, immediate);
    }
    // Afterwards `function` is the one that was there before.
    void set(ZydisFormatterFunction which, ZydisFormatterFunc& function) {
        auto hook = std::bit_cast<const void*>(function);
        ZydisFormatterSetHook(&formatter, which, &hook);
        function = std::bit_cast<ZydisFormatterFunc>(hook);
    }
    static Formatter& instance() {
        static thread_local Formatter made;
        return made;
    }

    static ZyanStatus print(ZydisFormatterFunc otherwise, const ZydisFormatter* formatter, ZydisFormatterBuffer* buffer,
                            ZydisFormatterContext* context) {
        std::string name = static_cast<Writing*>(context->user_data)->name_of(*context);
        if (name.empty()) return otherwise(formatter, buffer, context);
        if (name.size() > kLongestName) name = name.substr(0, kLongestName) + "…";
        ZyanString* text = nullptr;
        ZYAN_CHECK(ZydisFormatterBufferAppend(buffer, ZYDIS_TOKEN_SYMBOL));
        ZYAN_CHECK(ZydisFormatterBufferGetString(buffer, &text));
        ZyanStringView view;
        ZYAN_CHECK(ZyanStringViewInsideBuffer(&view, name.c_str()));
        return ZyanStringAppend(text, &view);
    }
    static ZyanStatus print_address(const ZydisFormatter* f, ZydisFormatterBuffer* b, ZydisFormatterContext* c) {
        return print(instance().address, f, b, c);
    }
    static ZyanStatus print_displacement(const ZydisFormatter* f, ZydisFormatterBuffer* b, ZydisFormatterContext* c) {
        return print(instance().displacement, f, b, c);
    }
    static ZyanStatus print_immediate(const ZydisFormatter* f, ZydisFormatterBuffer* b, ZydisFormatterContext* c) {
        return print(instance().immediate, f, b, c);
    }
};

std::string Writing::name_of(const ZydisFormatterContext& context) {
    const ZydisDecodedInstruction& instruction = *context.instruction;
    const ZydisDecodedOperand& operand = *context.operand;
    bool memory = operand.type == ZYDIS_OPERAND_TYPE_MEMORY;
    u64 field = memory ? instruction.raw.disp.offset : instruction.raw.imm[0].offset;
    if (names->field && field != 0) {
        if (std::string name = names->field(at + field); !name.empty()) return name;
    }
    ZyanU64 target = 0;
    bool relative = memory ? operand.mem.base == ZYDIS_REGISTER_RIP : operand.imm.is_relative;
    if (relative && !ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&instruction, &operand, address + at, &target))) return {};
    if (!relative) target = memory ? static_cast<u64>(operand.mem.disp.value) : operand.imm.value.u;
    if (relative && target >= address && target - address < code.size())
        return inner_target = fmt::format("+{:#x}", target - address);
    return names->address ? names->address(target) : std::string();
}

}  // namespace

std::vector<ListedInstruction> list_code(std::span<const std::byte> code, u64 address, const CodeNames& names) {
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    std::vector<ListedInstruction> listed;
    for (u64 at = 0; at < code.size();) {
        ZydisDecodedInstruction instruction;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        std::array<char, 2048> text{};
        Writing writing{.code = code, .address = address, .names = &names, .at = at, .inner_target = {}};
        auto decoded = ZydisDecoderDecodeFull(&decoder, code.data() + at, code.size() - at, &instruction, operands);
        if (!ZYAN_SUCCESS(decoded)) {
            listed.push_back({at, fmt::format(".byte {:#04x}", static_cast<unsigned>(code[at])), {}});
            listed.back().key = listed.back().text;
            ++at;
            continue;
        }
        ZydisFormatterFormatInstruction(&Formatter::instance().formatter, &instruction, operands,
                                        instruction.operand_count_visible, text.data(), text.size(), address + at,
                                        &writing);
        std::string line = text.data();
        std::string key = line;
        if (usize target = writing.inner_target.empty() ? key.npos : key.rfind(writing.inner_target);
            target != key.npos)
            key.resize(target);
        listed.push_back({at, std::move(line), std::move(key)});
        at += instruction.length;
    }
    return listed;
}

std::vector<ListedInstruction> list_item(const UnitObject& object, u32 index) {
    const Item& item = object.item(index);
    CodeNames names;
    names.field = [&](u64 at) -> std::string {
        auto found = std::lower_bound(item.references.begin(), item.references.end(), at,
                                      [](const Reference& reference, u64 value) { return reference.at < value; });
        return found == item.references.end() || found->at != at ? "" : target_text(object, *found);
    };
    return list_code(object.bytes(item), 0, names);
}

std::string instruction_of(const UnitObject& object, u32 item, u64 at) {
    for (const ListedInstruction& one : list_item(object, item))
        if (one.at == at) return one.text;
    return {};
}

// ---- differences ----------------------------------------------------------------------------------------------------

namespace {

using Listing = std::vector<ListedInstruction>;

enum class Mark : char { both = ' ', before = '-', after = '+' };

struct Edit {
    Mark mark;
    usize before;  // index, of what comes next on that side
    usize after;
};

// The shortest way from one to the other, by the longest common subsequence.
std::vector<Edit> edits_of(const Listing& before, const Listing& after) {
    std::vector<Edit> edits;
    const usize rows = before.size();
    const usize columns = after.size();
    bool all_different = rows != 0 && columns > kMostCompared / rows;
    std::vector<u32> common(all_different ? 0 : (rows + 1) * (columns + 1), 0);
    auto length = [&](usize i, usize j) -> u32& { return common[i * (columns + 1) + j]; };
    if (!all_different) {
        for (usize i = rows; i-- > 0;)
            for (usize j = columns; j-- > 0;)
                length(i, j) = before[i].key == after[j].key ? length(i + 1, j + 1) + 1
                                                             : std::max(length(i + 1, j), length(i, j + 1));
    }
    usize i = 0;
    usize j = 0;
    while (i < rows || j < columns) {
        if (!all_different && i < rows && j < columns && before[i].key == after[j].key) {
            edits.push_back({Mark::both, i++, j++});
        } else if (i < rows && (j == columns || all_different || length(i + 1, j) >= length(i, j + 1))) {
            edits.push_back({Mark::before, i++, j});
        } else {
            edits.push_back({Mark::after, i, j++});
        }
    }
    return edits;
}

}  // namespace

std::vector<std::string> difference_of(const Listing& before, const Listing& after) {
    std::vector<Edit> edits = edits_of(before, after);
    std::vector<bool> shown(edits.size(), false);
    for (usize i = 0; i < edits.size(); ++i) {
        if (edits[i].mark == Mark::both) continue;
        usize end = std::min(edits.size(), i + kShownAround + 1);
        for (usize near = i - std::min(i, kShownAround); near < end; ++near) shown[near] = true;
    }
    std::vector<std::string> lines;
    auto start = [](const Listing& listing, usize index) {
        return index < listing.size() ? fmt::format("+{:#x}", listing[index].at) : std::string("end");
    };
    for (usize i = 0; i < edits.size(); ++i) {
        if (!shown[i]) continue;
        const Edit& edit = edits[i];
        if (i == 0 || !shown[i - 1])
            lines.push_back(fmt::format("@@ {} {} @@", start(before, edit.before), start(after, edit.after)));
        const ListedInstruction& one = edit.mark == Mark::before ? before[edit.before] : after[edit.after];
        lines.push_back(fmt::format("{}{:>6x}: {}", static_cast<char>(edit.mark), one.at, one.text));
    }
    return lines;
}

}  // namespace graft::differ
