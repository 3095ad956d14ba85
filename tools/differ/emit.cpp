#include "tools/differ/emit.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "tools/differ/frames.h"
#include "tools/patch/pack.h"

namespace graft::differ {
namespace {

using formats::KlpTag;

bool is_known_relocation(u32 type) {
    return type == R_X86_64_64 || type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_32S;
}

class Emitter {
public:
    Emitter(const Comparison& comparison, const Plan& plan, Result& result)
        : comparison_(comparison), plan_(plan), result_(result) {
        object_.path = "the patch";
        object_.sections.emplace_back();
        object_.symbols.emplace_back();
    }

    PackResult<std::vector<std::byte>> emit();

private:
    void add_item(const Carried& carried);
    PackResult<void> add_undefined();
    PackResult<void> add_relocations(const Carried& carried);
    void add_initialisers();
    PackResult<void> add_functions();
    PackResult<void> add_function(KlpTag tag, u64 entry, u32 new_symbol, SourcePlace place);
    PackResult<void> add_holds();
    void add_states();
    void take_texts();
    void measure();
    u32 symbol_of(const Meaning& meaning) const;
    const UnitPair& unit(const Carried& carried) const { return comparison_.units[carried.place.unit]; }

    const Comparison& comparison_;
    const Plan& plan_;
    Result& result_;
    Object object_;
    tools::KlpContents contents_;
    FrameTable frames_;
    std::map<ItemPlace, u32> symbols_;                          // of what is carried
    std::map<std::pair<std::string, u64>, u32> image_symbols_;  // by name and address
};

PackResult<std::vector<std::byte>> Emitter::emit() {
    for (const Carried& carried : comparison_.carried) add_item(carried);
    GRAFT_CHECK(add_undefined());
    for (const Carried& carried : comparison_.carried) GRAFT_CHECK(add_relocations(carried));
    add_initialisers();
    object_.sections.push_back(frames_.section());
    GRAFT_CHECK(add_functions());
    GRAFT_CHECK(add_holds());
    if (result_.refused()) return std::vector<std::byte>();
    add_states();
    take_texts();
    measure();
    auto file = GRAFT_TRY(tools::write_klp(std::move(object_), contents_, comparison_.image->build_id()));
    result_.sizes.file = file.size();
    return file;
}

// A section of its own for each item, and a local symbol: whatever it is called, it is nobody else's.
void Emitter::add_item(const Carried& carried) {
    const UnitObject& patched = unit(carried).patched;
    const Item& item = patched.item(carried.place.item);
    const ObjectSection& from = patched.section_of(item);
    std::span<const std::byte> bytes = patched.bytes(item);
    bool whole = item.offset == 0 && item.size == from.size;
    object_.sections.push_back({.name = whole || item.name == from.name ? from.name : from.name + "." + item.name,
                                .type = from.type,
                                .flags = from.flags & (SHF_WRITE | SHF_ALLOC | SHF_EXECINSTR),
                                .size = item.size,
                                .alignment = item.alignment,
                                .entry_size = 0,
                                .contents = {bytes.begin(), bytes.end()},
                                .relocations = {}});
    auto section = static_cast<u32>(object_.sections.size() - 1);
    symbols_[carried.place] = static_cast<u32>(object_.symbols.size());
    bool named = item.symbol != 0;
    u8 type = item.is_function() ? STT_FUNC : STT_OBJECT;
    object_.symbols.push_back({.name = named ? item.name : "",
                               .value = 0,
                               .size = named ? item.size : 0,
                               .binding = STB_LOCAL,
                               .type = named ? type : u8{STT_SECTION},
                               .other = 0,
                               .section = section});
}

// What the patch refers to and doesn't carry, sorted, so that the order of finding doesn't show.
PackResult<void> Emitter::add_undefined() {
    std::map<std::pair<std::string, u64>, Meaning> needed;
    for (const Carried& carried : comparison_.carried) {
        for (const Reference& reference : unit(carried).patched.item(carried.place.item).references) {
            auto meaning = plan_.meaning(carried, reference);
            if (!meaning) return tools::pack_error("a reference without a meaning");  // refused by the plan
            if (meaning->kind != Meaning::Kind::carried)
                needed.emplace(std::pair(meaning->name, meaning->address), *meaning);
        }
    }
    for (const auto& [key, meaning] : needed) {
        auto symbol = static_cast<u32>(object_.symbols.size());
        image_symbols_[key] = symbol;
        object_.symbols.push_back({.name = meaning.name,
                                   .value = 0,
                                   .size = 0,
                                   .binding = STB_GLOBAL,
                                   .type = STT_NOTYPE,
                                   .other = 0,
                                   .section = SHN_UNDEF});
        if (meaning.kind != Meaning::Kind::image) continue;
        contents_.references.emplace_back(symbol, VirtAddr(meaning.address));
        result_.references.push_back(demangled(meaning.name));
    }
    return {};
}

u32 Emitter::symbol_of(const Meaning& meaning) const {
    if (meaning.kind == Meaning::Kind::carried) return symbols_.at(meaning.place);
    return image_symbols_.at({meaning.name, meaning.address});
}

PackResult<void> Emitter::add_relocations(const Carried& carried) {
    const UnitObject& patched = unit(carried).patched;
    const Item& item = patched.item(carried.place.item);
    u32 symbol = symbols_.at(carried.place);
    ObjectSection& section = object_.sections[object_.symbols[symbol].section];
    for (const Reference& reference : item.references) {
        if (!is_known_relocation(reference.type))
            return tools::pack_error(fmt::format("{}: '{}'+{:#x}: relocation type {} isn't of this code model",
                                                 patched.path(), demangled(item.name), reference.at, reference.type));
        Meaning meaning = *plan_.meaning(carried, reference);
        section.relocations.push_back({.offset = reference.at,
                                       .type = reference.type,
                                       .symbol = symbol_of(meaning),
                                       .addend = reference.target_offset - reference.bias});
    }
    if (item.is_function()) GRAFT_CHECK(frames_.add(patched, item, symbol));
    return {};
}

void Emitter::add_initialisers() {
    ObjectSection table{.name = ".init_array",
                        .type = SHT_INIT_ARRAY,
                        .flags = SHF_ALLOC | SHF_WRITE,
                        .size = 0,
                        .alignment = 8,
                        .entry_size = 8,
                        .contents = {},
                        .relocations = {}};
    for (const Carried& carried : comparison_.carried) {
        if (!carried.initialiser) continue;
        table.relocations.push_back(
            {.offset = table.size, .type = R_X86_64_64, .symbol = symbols_.at(carried.place), .addend = 0});
        table.size += 8;
    }
    table.contents.resize(table.size);
    if (table.size != 0) object_.sections.push_back(std::move(table));
}

PackResult<void> Emitter::add_function(KlpTag tag, u64 entry, u32 new_symbol, SourcePlace place) {
    tools::ImageFunction old = GRAFT_TRY(comparison_.image->function_at(VirtAddr(entry)));
    auto refuse = [&](std::string code, std::string reason, std::string advice) {
        result_.refusals.push_back({.code = std::move(code),
                                    .place = place,
                                    .subject = demangled(old.name),
                                    .reason = std::move(reason),
                                    .advice = std::move(advice)});
        return PackResult<void>();
    };
    if (old.parts.size() > formats::kKlpMaxRanges)
        return refuse("too-many-parts", fmt::format("has {} parts in the image", old.parts.size()), "");
    if (tag == KlpTag::func && old.no_patch)
        return refuse("no-patch", "runs while text is being written, and can't be replaced",
                      "restart with a new image");
    if (tag == KlpTag::func && !old.has_site)
        return refuse("no-call-site", "has no call site", "change its callers instead");
    if (!old.has_return) contents_.endless = true;
    contents_.functions.push_back({.tag = tag, .old_function = std::move(old), .new_symbol = new_symbol});
    return {};
}

PackResult<void> Emitter::add_functions() {
    std::map<u64, const Carried*> by_entry;
    for (const Carried& carried : comparison_.carried) {
        if (carried.replaces != 0) by_entry[carried.replaces] = &carried;
        const UnitObject& patched = unit(carried).patched;
        const Item& item = patched.item(carried.place.item);
        if (!item.is_function()) continue;
        auto leaves = tools::can_be_left(patched.object(), patched.object().symbols[item.symbol]);
        if (carried.replaces != 0 && leaves && !*leaves) contents_.endless = true;
    }
    for (auto [entry, carried] : by_entry)
        GRAFT_CHECK(
            add_function(KlpTag::func, entry, symbols_.at(carried->place), comparison_.new_place(carried->place)));
    return {};
}

PackResult<void> Emitter::add_holds() {
    std::map<u64, const Decision*> by_entry;
    for (const Decision& decision : result_.decisions) {
        if (decision.kind == DecisionKind::held) by_entry[decision.entry] = &decision;
    }
    for (auto [entry, decision] : by_entry) {
        bool replaced = std::ranges::any_of(contents_.functions,
                                            [&](const auto& one) { return one.old_function.entry.value == entry; });
        if (!replaced) GRAFT_CHECK(add_function(KlpTag::hold, entry, 0, decision->place));
    }
    return {};
}

void Emitter::add_states() {
    for (const DeclaredState& declared : comparison_.states) {
        tools::KlpContents::State state = declared.state;
        for (usize i = 0; i < declared.callbacks.size(); ++i) {
            u32 item = declared.callbacks[i];
            state.record.callback[i] = item == 0 ? 0 : symbols_.at({declared.unit, item});
        }
        contents_.states.push_back(std::move(state));
    }
}

void Emitter::take_texts() {
    const Texts& texts = comparison_.request->texts;
    contents_.texts = {.name = texts.name,
                       .set = texts.set,
                       .version = texts.version,
                       .description = texts.description,
                       .fixes = texts.fixes,
                       .built_from = texts.built_from,
                       .built_with = {}};
    if (texts.built_from.empty()) contents_.texts.built_from = tools::build_id_text(comparison_.image->build_id());
    for (const UnitPair& pair : comparison_.units) {
        if (contents_.texts.built_with.empty()) contents_.texts.built_with = tools::compiler_of(pair.patched.object());
    }
}

void Emitter::measure() {
    for (const ObjectSection& section : object_.sections) {
        if ((section.flags & SHF_EXECINSTR) != 0)
            result_.sizes.text += section.size;
        else if ((section.flags & SHF_WRITE) != 0 && section.type != SHT_INIT_ARRAY)
            result_.sizes.writable += section.size;
        else
            result_.sizes.read_only += section.size;
    }
}

}  // namespace

PackResult<std::vector<std::byte>> emit(const Comparison& comparison, const Plan& plan, Result& result) {
    return Emitter(comparison, plan, result).emit();
}

}  // namespace graft::differ
