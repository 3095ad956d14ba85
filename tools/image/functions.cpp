#include "tools/image/functions.h"

#include <Zydis/Zydis.h>
#include <cxxabi.h>
#include <dwarf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace graft::tools {

namespace {

constexpr std::array<u8, 5> kSiteNop{0x0f, 0x1f, 0x44, 0x00, 0x00};

// Names that the compiler gives to what it split off a function or specialised from it.
constexpr std::array<std::string_view, 4> kPartSuffixes{".cold", ".part.", ".constprop.", ".isra."};

std::string base_of_part(const std::string& name) {
    usize cut = std::string::npos;
    for (auto suffix : kPartSuffixes) cut = std::min(cut, name.find(suffix));
    return cut == std::string::npos || cut == 0 ? std::string() : name.substr(0, cut);
}

bool is_thunk_name(const std::string& name) {
    return name.starts_with("_ZTh") || name.starts_with("_ZTv") || name.starts_with("_ZTc");
}

}  // namespace

std::string demangled(const std::string& name) {
    if (!name.starts_with("_Z")) return name;
    int status = 0;
    char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
    std::string result = status == 0 ? text : name;
    std::free(text);
    return result;
}

std::string hex_text(u64 value) {
    char text[24];
    std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

u64 Instruction::next() const {
    return address + decoded.length;
}

std::optional<u64> Instruction::direct_target() const {
    if (decoded.operand_count == 0 || operands[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE) return std::nullopt;
    u64 target = 0;
    if (!ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&decoded, &operands[0], address, &target))) return std::nullopt;
    return target;
}

bool Instruction::is_call() const {
    return decoded.meta.category == ZYDIS_CATEGORY_CALL;
}
bool Instruction::is_jump() const {
    return decoded.meta.category == ZYDIS_CATEGORY_UNCOND_BR || decoded.meta.category == ZYDIS_CATEGORY_COND_BR;
}
bool Instruction::is_return() const {
    return decoded.meta.category == ZYDIS_CATEGORY_RET;
}

FunctionList::FunctionList(const ElfImage& image) {
    read_entries(image);
    find_parts(image);
    read_languages(image);
    read_bytes(image);
}

void FunctionList::read_entries(const ElfImage& image) {
    const u64 base = image.bound("__image_begin");
    const AddressRange permanent = image.range("__permanent_begin", "__permanent_end");
    const AddressRange init_text = image.range("__init_text_begin", "__init_text_end");
    std::vector<const ElfSymbol*> symbols;
    for (const ElfSymbol& symbol : image.symbols())
        if (symbol.type == STT_FUNC) symbols.push_back(&symbol);
    std::sort(symbols.begin(), symbols.end(), [](auto* a, auto* b) {
        return std::tie(a->address, a->local, a->name) < std::tie(b->address, b->local, b->name);
    });
    for (const ElfSymbol* symbol : symbols) {
        Function& function = functions_[symbol->address];
        function.entry = symbol->address;
        function.size = std::max(function.size, symbol->size);
        function.names.push_back(symbol->name);
        function.start_code = symbol->address < base;
        function.permanent = permanent.contains(VirtAddr(symbol->address));
        function.init_text = init_text.contains(VirtAddr(symbol->address));
    }
}

void FunctionList::find_parts(const ElfImage& image) {
    std::map<std::pair<std::string, std::string>, u64> by_file;  // (file, name); file is empty for global ones
    for (const ElfSymbol& symbol : image.symbols())
        if (symbol.type == STT_FUNC) by_file[{symbol.file, symbol.name}] = symbol.address;
    for (const ElfSymbol& symbol : image.symbols()) {
        std::string base = symbol.type == STT_FUNC ? base_of_part(symbol.name) : std::string();
        if (base.empty()) continue;
        auto parent = by_file.find({symbol.file, base});
        if (parent == by_file.end()) parent = by_file.find({"", base});
        if (parent == by_file.end()) stop("part " + symbol.name + ": function " + base + " not found");
        if (parent->second != symbol.address) functions_[symbol.address].parent = parent->second;
    }
}

void FunctionList::read_languages(const ElfImage& image) {
    Dwarf* dwarf = dwarf_begin_elf(image.elf(), DWARF_C_READ, nullptr);
    if (dwarf == nullptr) stop(image.path() + ": no debug information");
    Dwarf_CU* unit = nullptr;
    Dwarf_Die die;
    while (dwarf_get_units(dwarf, unit, &unit, nullptr, nullptr, &die, nullptr) == 0) {
        bool assembly = dwarf_srclang(&die) == DW_LANG_Mips_Assembler;
        ptrdiff_t at = 0;
        Dwarf_Addr base = 0;
        Dwarf_Addr begin = 0;
        Dwarf_Addr end = 0;
        while ((at = dwarf_ranges(&die, at, &base, &begin, &end)) > 0) {
            for (auto place = functions_.lower_bound(begin); place != functions_.end() && place->first < end; ++place)
                (assembly ? place->second.assembly : place->second.compiled) = true;
        }
    }
    dwarf_end(dwarf);
}

void FunctionList::read_bytes(const ElfImage& image) {
    for (auto& [entry, function] : functions_) {
        auto first = image.bytes(entry, kSiteNop.size());
        bool may_have_site = !function.permanent && !function.start_code && !function.init_text && entry % 16 == 0;
        function.has_site = may_have_site && !first.empty() &&
                            std::equal(first.begin(), first.end(), std::as_bytes(std::span(kSiteNop)).begin());
        if (function.start_code) continue;
        bool leaves = false;
        u64 jumps_to = 0;
        for_each_instruction(image, function, [&](const Instruction& instruction) {
            if (instruction.is_return()) leaves = true;
            if (!instruction.is_jump()) return;
            auto target = instruction.direct_target();
            if (target && !function.contains(*target)) jumps_to = *target;
        });
        const Function* target = jumps_to == 0 ? nullptr : at(jumps_to);
        bool to_other = target != nullptr && target->parent != entry && target->entry != function.parent;
        function.has_return = leaves || to_other;
        function.thunk = to_other && !function.has_site && std::ranges::any_of(function.names, is_thunk_name);
    }
    for (auto& [entry, function] : functions_)
        if (function.parent != 0 && function.has_return) functions_[function.parent].has_return = true;
}

const Function* FunctionList::at(u64 address) const {
    auto place = functions_.upper_bound(address);
    if (place == functions_.begin()) return nullptr;
    const Function& function = std::prev(place)->second;
    return function.contains(address) || function.entry == address ? &function : nullptr;
}

bool FunctionList::for_each_instruction(const ElfImage& image, const Function& function,
                                        const std::function<void(const Instruction&)>& visit) {
    static const ZydisDecoder decoder = [] {
        ZydisDecoder made;
        ZydisDecoderInit(&made, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        return made;
    }();
    auto code = image.bytes(function.entry, function.size);
    if (code.size() != function.size) return false;
    for (usize at = 0; at < code.size();) {
        ZydisDecodedInstruction decoded;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        auto status = ZydisDecoderDecodeFull(&decoder, code.data() + at, code.size() - at, &decoded, operands);
        if (!ZYAN_SUCCESS(status)) return false;
        visit({function.entry + at, decoded, operands});
        at += decoded.length;
    }
    return true;
}

}  // namespace graft::tools
