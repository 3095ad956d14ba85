#include "tools/patch/pack.h"

#include <algorithm>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "formats/klp.h"
#include "tools/patch/declarations.h"
#include "tools/patch/klp_file.h"

namespace graft::tools {
namespace {

using formats::DeclarationKind;
using formats::KlpTag;

// Where a loaded section goes is decided by its name; see docs/reference/patch-format.md, Sections.
bool has_place(std::string_view name) {
    for (std::string_view base : {".text", ".rodata", ".data.rel.ro", ".data", ".bss"}) {
        if (name == base || (name.starts_with(base) && name[base.size()] == '.')) return true;
    }
    return name == ".init_array" || name == ".eh_frame";
}

bool is_kept(const ObjectSection& section) {
    return (section.flags & SHF_ALLOC) != 0 && section.name != formats::kDeclarationSection &&
           !section.name.starts_with(".note.");
}

bool is_loaders_own(std::string_view name) {
    return name == "__dso_handle" || name == "__cxa_atexit";
}

bool is_known_relocation(u32 type) {
    return type == R_X86_64_64 || type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_32S;
}

class Packer {
public:
    Packer(Object object, const Image& image, const PackOptions& options)
        : object_(std::move(object)), image_(image), options_(options) {}

    PackResult<std::vector<std::byte>> run();
    PackSummary summary() const;

private:
    PackResult<void> take_declarations();
    PackResult<void> take_function(const Declared& declared);
    PackResult<void> check_function(const KlpContents::Function& replaced);
    PackResult<void> check_new_function(const ObjectSymbol& symbol);
    PackResult<void> take_state(const Declared& declared);
    PackResult<void> check_callbacks();
    PackResult<void> take_options();
    PackResult<void> check_sections();
    PackResult<void> find_used_symbols();
    PackResult<void> check_global(const ObjectSymbol& symbol, u32 index);
    void reduce();
    PackResult<void> find_references();
    std::string where(const ObjectSection& section, u64 offset) const;

    Object object_;
    const Image& image_;
    const PackOptions& options_;
    KlpContents contents_;  // symbols are first those of the object that came in, later of the one that goes out
    std::vector<bool> used_;
};

PackResult<std::vector<std::byte>> Packer::run() {
    GRAFT_CHECK(take_declarations());
    GRAFT_CHECK(take_options());
    GRAFT_CHECK(check_sections());
    GRAFT_CHECK(find_used_symbols());
    reduce();
    GRAFT_CHECK(find_references());
    return write_klp(std::move(object_), contents_, image_.build_id());
}

// ---- what the source declares ---------------------------------------------------------------------------------------

PackResult<void> Packer::take_declarations() {
    std::vector<Declared> declared = GRAFT_TRY(read_declarations(object_));
    std::set<DeclarationKind> seen;
    for (const Declared& one : declared) {
        bool is_text = one.kind < DeclarationKind::replace;
        if (is_text && !seen.insert(one.kind).second)
            return pack_error(fmt::format("{}: {} is declared twice", object_.path, kind_name(one.kind)));
        switch (one.kind) {
            case DeclarationKind::name:
                contents_.texts.name = one.text;
                break;
            case DeclarationKind::set:
                contents_.texts.set = one.text;
                break;
            case DeclarationKind::version:
                contents_.texts.version = one.text;
                break;
            case DeclarationKind::description:
                contents_.texts.description = one.text;
                break;
            case DeclarationKind::fixes:
                contents_.texts.fixes = one.text;
                break;
            case DeclarationKind::state:
                GRAFT_CHECK(take_state(one));
                break;
            default:
                GRAFT_CHECK(take_function(one));
        }
    }
    GRAFT_CHECK(check_callbacks());
    bool replaces = std::any_of(contents_.functions.begin(), contents_.functions.end(),
                                [](const KlpContents::Function& one) { return one.tag == KlpTag::func; });
    if (!replaces && contents_.states.empty())
        return pack_error(
            fmt::format("{}: replaces no function and has no state (GRAFT_REPLACE, GRAFT_STATE)", object_.path));
    return {};
}

PackResult<void> Packer::take_state(const Declared& declared) {
    contents_.states.push_back(GRAFT_TRY(make_state(object_.path, declared, contents_.states)));
    return {};
}

PackResult<void> Packer::check_callbacks() {
    for (const KlpContents::State& state : contents_.states) {
        for (u32 index : state.record.callback) {
            if (index == 0) continue;
            const ObjectSymbol& symbol = object_.symbols[index];
            auto bad = [&](std::string_view why) {
                return pack_error(fmt::format("{}: state '{}': its callback {} {}", object_.path, state.name,
                                              readable(symbol.name), why));
            };
            if (symbol.is_undefined() || symbol.is_special() || symbol.type != STT_FUNC || symbol.size == 0)
                return bad("isn't a function of the patch");
            bool is_new = std::any_of(contents_.functions.begin(), contents_.functions.end(),
                                      [&](const KlpContents::Function& one) { return one.new_symbol == index; });
            if (is_new) return bad("replaces a function; a callback can't be reached through a changing call site");
        }
    }
    return {};
}

PackResult<void> Packer::take_function(const Declared& declared) {
    std::string name = declared.text;
    if (declared.old_symbol) {
        const ObjectSymbol& symbol = object_.symbols[*declared.old_symbol];
        if (!symbol.is_undefined() && symbol.binding == STB_LOCAL)
            return pack_error(
                fmt::format("{}: {}: a function of the patch itself; a static one of the image is given by "
                            "its linkage name (GRAFT_REPLACE_NAMED)",
                            object_.path, readable(symbol.name)));
        name = symbol.name;
    }
    u32 position = declared.position;
    if (auto found = options_.positions.find(name); position == 0 && found != options_.positions.end())
        position = found->second;
    KlpContents::Function replaced{.tag = declared.new_symbol ? KlpTag::func : KlpTag::hold,
                                   .old_function = GRAFT_TRY(image_.function(name, position)),
                                   .new_symbol = declared.new_symbol.value_or(0)};
    GRAFT_CHECK(check_function(replaced));
    if (!replaced.old_function.has_return) contents_.endless = true;
    contents_.functions.push_back(std::move(replaced));
    return {};
}

PackResult<void> Packer::check_function(const KlpContents::Function& replaced) {
    const ImageFunction& old = replaced.old_function;
    for (const KlpContents::Function& other : contents_.functions) {
        if (other.old_function.entry == old.entry)
            return pack_error(fmt::format("{}: replaced or held twice (also as {})", readable(old.name),
                                          readable(other.old_function.name)));
        if (replaced.new_symbol != 0 && other.new_symbol == replaced.new_symbol)
            return pack_error(fmt::format("{}: the new function of {} and of {}; it can serve one only",
                                          readable(object_.symbols[replaced.new_symbol].name), readable(old.name),
                                          readable(other.old_function.name)));
    }
    if (old.parts.size() > formats::kKlpMaxRanges)
        return pack_error(fmt::format("{}: has {} parts in the image, at most {} are possible", readable(old.name),
                                      old.parts.size(), formats::kKlpMaxRanges));
    if (old.init_text)
        return pack_error(fmt::format("{}: only runs while the image boots, and is gone then", readable(old.name)));
    if (replaced.tag == KlpTag::hold) return {};
    if (old.no_patch)
        return pack_error(
            fmt::format("{}: on the no-patch list; it runs while text is being written", readable(old.name)));
    if (!old.has_site)
        return pack_error(
            fmt::format("{}: has no call site (assembly, a thunk, or compiled without one)", readable(old.name)));
    return check_new_function(object_.symbols[replaced.new_symbol]);
}

PackResult<void> Packer::check_new_function(const ObjectSymbol& symbol) {
    if (symbol.is_undefined() || symbol.is_special() || symbol.type != STT_FUNC || symbol.size == 0)
        return pack_error(fmt::format("{}: {}: not a function of the patch, so it can replace nothing", object_.path,
                                      readable(symbol.name)));
    if ((object_.sections[symbol.section].flags & SHF_EXECINSTR) == 0)
        return pack_error(fmt::format("{}: {}: not in a text section", object_.path, readable(symbol.name)));
    auto leaves = can_be_left(object_, symbol);
    if (!leaves)
        return pack_error(fmt::format("{}: {}: its code can't be decoded", object_.path, readable(symbol.name)));
    if (!*leaves) contents_.endless = true;
    return {};
}

PackResult<void> Packer::take_options() {
    KlpContents::Texts& texts = contents_.texts;
    texts.built_from = build_id_text(image_.build_id());
    auto prefer = [](const std::string& option, std::string& text) {
        if (!option.empty()) text = option;
    };
    prefer(options_.name, contents_.texts.name);
    prefer(options_.set, contents_.texts.set);
    prefer(options_.version, contents_.texts.version);
    prefer(options_.description, contents_.texts.description);
    prefer(options_.fixes, contents_.texts.fixes);
    if (contents_.texts.name.empty())
        return pack_error(fmt::format("{}: no name (GRAFT_PATCH, or --name)", object_.path));
    for (const std::string* name : {&contents_.texts.name, &contents_.texts.set}) {
        if (!name->empty() && !formats::is_patch_name(*name))
            return pack_error(
                fmt::format("'{}': can't be a patch's or set's name: 1 to {} of A-Z a-z 0-9 . _ - +, the "
                            "first a letter or digit",
                            *name, formats::kKlpMaxPatchName));
    }
    texts.built_with = compiler_of(object_);
    return {};
}

// ---- what stays -----------------------------------------------------------------------------------------------------

std::string Packer::where(const ObjectSection& section, u64 offset) const {
    return fmt::format("{}: {}+{:#x}", object_.path, section.name, offset);
}

PackResult<void> Packer::check_sections() {
    for (const ObjectSection& section : object_.sections) {
        if (!is_kept(section)) continue;
        if ((section.flags & SHF_TLS) != 0)
            return pack_error(
                fmt::format("{}: section '{}': thread-local data can't be patched in", object_.path, section.name));
        if (section.size != 0 && !has_place(section.name))
            return pack_error(fmt::format("{}: section '{}' has no place in a patch", object_.path, section.name));
        for (const ObjectRelocation& relocation : section.relocations) {
            if (!is_known_relocation(relocation.type))
                return pack_error(
                    fmt::format("{}: relocation type {} isn't of this code model; compile with the "
                                "image's flags",
                                where(section, relocation.offset), relocation.type));
        }
    }
    for (const ObjectSymbol& symbol : object_.symbols) {
        if (symbol.section == SHN_COMMON)
            return pack_error(
                fmt::format("{}: {}: a common symbol; compile with -fno-common", object_.path, readable(symbol.name)));
    }
    return {};
}

// Used is what a kept section refers to, and what names code and data of kept sections.
PackResult<void> Packer::find_used_symbols() {
    used_.assign(object_.symbols.size(), false);
    used_[0] = true;
    for (const ObjectSection& section : object_.sections) {
        if (!is_kept(section)) continue;
        for (const ObjectRelocation& relocation : section.relocations) {
            const ObjectSymbol& symbol = object_.symbols[relocation.symbol];
            if (symbol.is_special())
                return pack_error(fmt::format("{}: refers to the absolute symbol '{}'",
                                              where(section, relocation.offset), symbol.name));
            if (!symbol.is_undefined() && !is_kept(object_.sections[symbol.section]))
                return pack_error(fmt::format("{}: refers to section '{}', which isn't loaded",
                                              where(section, relocation.offset),
                                              object_.sections[symbol.section].name));
            used_[relocation.symbol] = true;
        }
    }
    for (usize i = 1; i < object_.symbols.size(); ++i) {
        const ObjectSymbol& symbol = object_.symbols[i];
        if (symbol.is_undefined() || symbol.is_special() || !is_kept(object_.sections[symbol.section])) continue;
        if (symbol.type == STT_FUNC || symbol.type == STT_OBJECT) used_[i] = true;
        GRAFT_CHECK(check_global(symbol, static_cast<u32>(i)));
    }
    return {};
}

// A new global with a name that the image has would leave the image's callers with the old one.
PackResult<void> Packer::check_global(const ObjectSymbol& symbol, u32 index) {
    if (symbol.binding != STB_GLOBAL || symbol.type == STT_SECTION) return {};
    bool replaces = std::any_of(contents_.functions.begin(), contents_.functions.end(),
                                [&](const KlpContents::Function& one) { return one.new_symbol == index; });
    if (replaces || !image_.defines_global(symbol.name)) return {};
    return pack_error(
        fmt::format("{}: {}: defined by the image, too; declare it to use the image's, replace it, or make "
                    "it static",
                    object_.path, readable(symbol.name)));
}

// Sections and symbols that stay, with new indices everywhere.
void Packer::reduce() {
    Object reduced;
    reduced.path = object_.path;
    std::vector<u32> section_place(object_.sections.size(), 0);
    std::vector<u32> symbol_place(object_.symbols.size(), 0);
    std::vector<bool> referred(object_.sections.size(), false);  // empty sections stay only if something means them
    for (usize i = 1; i < object_.symbols.size(); ++i) {
        if (used_[i]) referred[object_.symbols[i].section] = true;
    }
    reduced.sections.emplace_back();
    for (usize i = 1; i < object_.sections.size(); ++i) {
        ObjectSection& section = object_.sections[i];
        if (!is_kept(section) || (section.size == 0 && !referred[i])) continue;
        section_place[i] = static_cast<u32>(reduced.sections.size());
        section.flags &= ~u64{SHF_GROUP | SHF_LINK_ORDER | SHF_INFO_LINK};  // those sections are gone
        reduced.sections.push_back(std::move(section));
    }
    for (bool local : {true, false}) {
        for (usize i = 0; i < object_.symbols.size(); ++i) {
            ObjectSymbol& symbol = object_.symbols[i];
            if (!used_[i] || (symbol.binding == STB_LOCAL) != local) continue;
            symbol_place[i] = static_cast<u32>(reduced.symbols.size());
            symbol.section = section_place[symbol.section];
            reduced.symbols.push_back(std::move(symbol));
        }
    }
    for (ObjectSection& section : reduced.sections) {
        for (ObjectRelocation& relocation : section.relocations) relocation.symbol = symbol_place[relocation.symbol];
    }
    for (KlpContents::Function& replaced : contents_.functions) replaced.new_symbol = symbol_place[replaced.new_symbol];
    for (KlpContents::State& state : contents_.states) {
        for (u32& symbol : state.record.callback) symbol = symbol_place[symbol];
    }
    object_ = std::move(reduced);
}

PackResult<void> Packer::find_references() {
    for (usize i = 1; i < object_.symbols.size(); ++i) {
        const ObjectSymbol& symbol = object_.symbols[i];
        if (!symbol.is_undefined() || is_loaders_own(symbol.name)) continue;
        auto position = options_.positions.find(symbol.name);
        VirtAddr address =
            GRAFT_TRY(image_.address_of(symbol.name, position == options_.positions.end() ? 0 : position->second));
        if (image_.is_init_text(address))
            return pack_error(fmt::format("{}: {}: only runs while the image boots, and is gone then", object_.path,
                                          readable(symbol.name)));
        contents_.references.emplace_back(static_cast<u32>(i), address);
    }
    return {};
}

// ---- what is said about it -----------------------------------------------------------------------------------------

PackSummary Packer::summary() const {
    PackSummary summary{.name = contents_.texts.name,
                        .functions = {},
                        .states = {},
                        .holds = 0,
                        .references = contents_.references.size(),
                        .endless = contents_.endless};
    for (const KlpContents::Function& replaced : contents_.functions) {
        if (replaced.tag == KlpTag::hold)
            ++summary.holds;
        else
            summary.functions.push_back(readable(replaced.old_function.name));
    }
    for (const KlpContents::State& state : contents_.states)
        summary.states.push_back(fmt::format("{} ({}), version {}{}", state.name, state.record.id, state.record.version,
                                             state.record.is_irreversible() ? ", irreversible" : ""));
    return summary;
}

}  // namespace

PackResult<std::vector<std::byte>> pack(Object object, const Image& image, const PackOptions& options,
                                        PackSummary* summary) {
    Packer packer(std::move(object), image, options);
    auto file = packer.run();
    if (file && summary) *summary = packer.summary();
    return file;
}

}  // namespace graft::tools
