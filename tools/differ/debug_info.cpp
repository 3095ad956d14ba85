#include "tools/differ/debug_info.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <libelf.h>

#include <algorithm>
#include <cstring>
#include <map>

#include <fmt/format.h>

#include "tools/differ/debug_reader.h"

namespace graft::differ {
namespace {

using tools::ObjectRelocation;
using tools::ObjectSection;
using tools::pack_error;

bool is_debug(const ObjectSection& section) {
    return section.name.starts_with(".debug_");
}

// An address that tells section and offset apart.
u64 value_of(const tools::Object& object, const ObjectRelocation& relocation) {
    const tools::ObjectSymbol& symbol = object.symbols[relocation.symbol];
    u64 value = symbol.value + static_cast<u64>(relocation.addend);
    bool in_code = !symbol.is_undefined() && !symbol.is_special() && !is_debug(object.sections[symbol.section]);
    // A base address with a folded index may lie before its section; nothing is found there.
    if (in_code && value >> kSectionShift != 0) return 0;
    return in_code ? (u64{symbol.section} << kSectionShift) + value : value;
}

PackResult<void> relocate(const tools::Object& object, ObjectSection& section) {
    for (const ObjectRelocation& relocation : section.relocations) {
        usize width = relocation.type == R_X86_64_64 ? 8 : relocation.type == R_X86_64_32 ? 4 : 0;
        if (width == 0 || relocation.offset > section.contents.size() ||
            width > section.contents.size() - relocation.offset)
            return pack_error(fmt::format("{}: {}+{:#x}: relocation type {} isn't understood in debug information",
                                          object.path, section.name, relocation.offset, relocation.type));
        u64 value = value_of(object, relocation);
        std::memcpy(section.contents.data() + relocation.offset, &value, width);
    }
    section.relocations.clear();
    return {};
}

// Only the debug sections, with their relocations applied.
PackResult<tools::Object> debug_part(const tools::Object& object) {
    tools::Object part;
    part.path = object.path;
    part.sections.emplace_back();
    part.symbols.emplace_back();
    for (const ObjectSection& section : object.sections) {
        if (!is_debug(section)) continue;
        if ((section.flags & SHF_COMPRESSED) != 0)
            return pack_error(fmt::format("{}: {} is compressed; compile with -gz=none", object.path, section.name));
        part.sections.push_back(section);
        part.sections.back().flags &= ~u64{SHF_GROUP};
        GRAFT_CHECK(relocate(object, part.sections.back()));
    }
    return part;
}

}  // namespace

struct DebugInfo::Handle {
    std::vector<std::byte> file;
    Elf* elf = nullptr;
    Dwarf* dwarf = nullptr;
    struct Cover {
        u64 begin, end;
        Dwarf_Off unit;
    };
    std::vector<Cover> covers;  // which unit describes which code, ascending

    Handle() = default;
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() {
        ::dwarf_end(dwarf);
        ::elf_end(elf);
    }
};

DebugInfo::DebugInfo(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
DebugInfo::~DebugInfo() = default;
DebugInfo::DebugInfo(DebugInfo&&) noexcept = default;
DebugInfo& DebugInfo::operator=(DebugInfo&&) noexcept = default;

PackResult<DebugInfo> DebugInfo::read(const tools::Object& object) {
    DebugInfo info(std::make_unique<Handle>());
    info.types_.emplace_back();
    Handle& handle = *info.handle_;
    tools::Object part = GRAFT_TRY(debug_part(object));
    if (!part.section(".debug_info")) return info;
    handle.file = tools::write_object(part);
    ::elf_version(EV_CURRENT);
    handle.elf = ::elf_memory(reinterpret_cast<char*>(handle.file.data()), handle.file.size());
    handle.dwarf = handle.elf ? ::dwarf_begin_elf(handle.elf, DWARF_C_READ, nullptr) : nullptr;
    if (!handle.dwarf)
        return pack_error(fmt::format("{}: debug information unreadable: {}", object.path, ::dwarf_errmsg(-1)));

    DebugReader reader(info.types_, info.variables_, info.functions_);
    Dwarf_CU* unit = nullptr;
    Dwarf_Die die;
    int status = 0;
    while ((status = ::dwarf_get_units(handle.dwarf, unit, &unit, nullptr, nullptr, &die, nullptr)) == 0) {
        reader.read_unit(die);
        Dwarf_Addr base = 0;
        Dwarf_Addr begin = 0;
        Dwarf_Addr end = 0;
        for (ptrdiff_t at = 0; (at = ::dwarf_ranges(&die, at, &base, &begin, &end)) > 0;)
            handle.covers.push_back({begin, end, ::dwarf_dieoffset(&die)});
    }
    if (status < 0 || reader.damaged())
        return pack_error(fmt::format("{}: debug information damaged: {}", object.path, ::dwarf_errmsg(-1)));
    std::sort(handle.covers.begin(), handle.covers.end(),
              [](const auto& left, const auto& right) { return left.begin < right.begin; });
    std::stable_sort(info.functions_.begin(), info.functions_.end(), [](const auto& left, const auto& right) {
        return std::pair(left.where.section, left.where.offset) < std::pair(right.where.section, right.where.offset);
    });
    return info;
}

const DebugFunction* DebugInfo::function_at(CodePlace where) const {
    auto found = std::find_if(functions_.begin(), functions_.end(), [&](const DebugFunction& function) {
        return function.where.section == where.section && function.where.offset == where.offset;
    });
    return found == functions_.end() ? nullptr : &*found;
}

const DebugVariable* DebugInfo::variable_at(CodePlace where) const {
    auto found = std::find_if(variables_.begin(), variables_.end(), [&](const DebugVariable& variable) {
        return variable.where.section == where.section && variable.where.offset == where.offset;
    });
    return found == variables_.end() ? nullptr : &*found;
}

SourcePlace DebugInfo::line_at(CodePlace where) const {
    u64 address = address_of(where);
    const auto& covers = handle_->covers;
    auto after = std::upper_bound(covers.begin(), covers.end(), address,
                                  [](u64 value, const Handle::Cover& cover) { return value < cover.begin; });
    if (after == covers.begin() || address >= std::prev(after)->end) return {};
    Dwarf_Die die;
    if (!::dwarf_offdie(handle_->dwarf, std::prev(after)->unit, &die)) return {};
    Dwarf_Line* line = ::dwarf_getsrc_die(&die, address);
    int number = 0;
    if (!line || ::dwarf_lineno(line, &number) != 0) return {};
    const char* file = ::dwarf_linesrc(line, nullptr, nullptr);
    return {.file = source_file_name(file), .line = static_cast<u32>(number)};
}

std::string DebugInfo::type_text(u32 index) const {
    const TypeNode& node = types_[index];
    switch (node.kind) {
        case TypeKind::none:
            return "void";
        case TypeKind::pointer:
            return type_text(node.target) + "*";
        case TypeKind::array: {
            std::string text = type_text(node.target);
            for (u64 count : node.counts) text += fmt::format("[{}]", count);
            return text;
        }
        case TypeKind::function:
            return "function";
        case TypeKind::base:
        case TypeKind::aggregate:
        case TypeKind::enumeration:
            return node.name.empty() ? "unnamed " + node.keyword : node.name;
    }
    return "?";
}

}  // namespace graft::differ
