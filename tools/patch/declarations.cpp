#include "tools/patch/declarations.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <fmt/format.h>

namespace graft::tools {
namespace {

using formats::Declaration;
using formats::DeclarationKind;

// The symbol that a relocation means. A compiler refers to a static function through its section: then the function
// that starts at the addend is meant.
PackResult<u32> pointed_to(const Object& object, const ObjectRelocation& relocation) {
    const ObjectSymbol& symbol = object.symbols[relocation.symbol];
    if (relocation.type != R_X86_64_64)
        return pack_error(
            fmt::format("{}: relocation type {} in {}", object.path, relocation.type, formats::kDeclarationSection));
    if (symbol.type != STT_SECTION && relocation.addend == 0) return relocation.symbol;
    u64 offset = symbol.value + static_cast<u64>(relocation.addend);
    for (usize i = 0; i < object.symbols.size(); ++i) {
        const ObjectSymbol& candidate = object.symbols[i];
        if (candidate.type == STT_FUNC && candidate.section == symbol.section && candidate.value == offset)
            return static_cast<u32>(i);
    }
    return pack_error(fmt::format("{}: a declaration points to '{}'+{:#x}, where no function starts", object.path,
                                  symbol.name, relocation.addend));
}

bool needs_old_symbol(DeclarationKind kind) {
    return kind == DeclarationKind::replace || kind == DeclarationKind::hold;
}
bool needs_new_symbol(DeclarationKind kind) {
    return kind == DeclarationKind::replace || kind == DeclarationKind::replace_named;
}
// Which callback of a state the address at this place of a declaration is; nothing at other places.
std::optional<usize> callback_at(usize field) {
    constexpr usize kFirst = offsetof(Declaration, state) + offsetof(formats::StateDeclaration, pre_patch);
    static_assert(kFirst + formats::kKlpCallbackCount * sizeof(void*) == offsetof(Declaration, text));
    if (field < kFirst || field >= offsetof(Declaration, text) || field % sizeof(void*) != 0) return std::nullopt;
    return (field - kFirst) / sizeof(void*);
}

bool has_callbacks(const Declared& declared) {
    return std::any_of(declared.state_callbacks.begin(), declared.state_callbacks.end(),
                       [](const auto& symbol) { return symbol.has_value(); });
}

bool needs_text(DeclarationKind kind) {
    return !needs_old_symbol(kind);
}

PackResult<void> check_shape(const Object& object, const Declared& declared) {
    if (kind_name(declared.kind) == nullptr)
        return pack_error(
            fmt::format("{}: declaration of unknown kind {}", object.path, static_cast<u32>(declared.kind)));
    bool right = declared.old_symbol.has_value() == needs_old_symbol(declared.kind) &&
                 declared.new_symbol.has_value() == needs_new_symbol(declared.kind) &&
                 !declared.text.empty() == needs_text(declared.kind) &&
                 (declared.kind == DeclarationKind::state || !has_callbacks(declared));
    if (right) return {};
    return pack_error(fmt::format("{}: declaration '{}' is incomplete, or has more than it may", object.path,
                                  kind_name(declared.kind)));
}

}  // namespace

const char* kind_name(DeclarationKind kind) {
    switch (kind) {
        case DeclarationKind::name:
            return "name";
        case DeclarationKind::set:
            return "set";
        case DeclarationKind::version:
            return "version";
        case DeclarationKind::description:
            return "description";
        case DeclarationKind::fixes:
            return "fixes";
        case DeclarationKind::replace:
            return "replace";
        case DeclarationKind::replace_named:
            return "replace by name";
        case DeclarationKind::hold:
            return "hold";
        case DeclarationKind::hold_named:
            return "hold by name";
        case DeclarationKind::state:
            return "state";
    }
    return nullptr;
}

PackResult<std::vector<Declared>> read_declarations(const Object& object) {
    const ObjectSection* section = object.section(formats::kDeclarationSection);
    if (!section)
        return pack_error(fmt::format(
            "{}: declares nothing (include patch/author.h and say GRAFT_PATCH, GRAFT_REPLACE)", object.path));
    if (section->contents.size() % sizeof(Declaration) != 0)
        return pack_error(fmt::format("{}: {} has {} bytes, not a multiple of {}", object.path, section->name,
                                      section->contents.size(), sizeof(Declaration)));

    std::vector<Declared> result(section->contents.size() / sizeof(Declaration));
    for (usize i = 0; i < result.size(); ++i) {
        const std::byte* bytes = section->contents.data() + i * sizeof(Declaration);
        Declaration raw;
        std::memcpy(static_cast<void*>(&raw), bytes, sizeof(raw));
        if (raw.magic != formats::kDeclarationMagic)
            return pack_error(
                fmt::format("{}: declaration {} has no magic: another version of patch/author.h?", object.path, i));
        if (raw.text[sizeof(raw.text) - 1] != 0)
            return pack_error(fmt::format("{}: declaration {}: text is too long", object.path, i));
        result[i] = {.kind = raw.kind,
                     .order = raw.order,
                     .position = raw.position,
                     .text = raw.text,
                     .old_symbol = {},
                     .new_symbol = {},
                     .state = raw.state};
    }
    for (const ObjectRelocation& relocation : section->relocations) {
        usize index = relocation.offset / sizeof(Declaration);
        usize field = relocation.offset % sizeof(Declaration);
        if (index >= result.size())
            return pack_error(fmt::format("{}: relocation outside {}", object.path, section->name));
        u32 symbol = GRAFT_TRY(pointed_to(object, relocation));
        if (field == offsetof(Declaration, old_function))
            result[index].old_symbol = symbol;
        else if (field == offsetof(Declaration, new_function))
            result[index].new_symbol = symbol;
        else if (auto callback = callback_at(field))
            result[index].state_callbacks[*callback] = symbol;
        else
            return pack_error(fmt::format("{}: relocation at an odd place of {}", object.path, section->name));
    }
    for (const Declared& declared : result) GRAFT_CHECK(check_shape(object, declared));
    // The compiler may emit them in any order; callbacks of states run in the source's.
    std::stable_sort(result.begin(), result.end(), [](const Declared& left, const Declared& right) {
        return left.kind != right.kind ? left.kind < right.kind : left.order < right.order;
    });
    return result;
}

}  // namespace graft::tools
