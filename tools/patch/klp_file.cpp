#include "tools/patch/klp_file.h"

#include <algorithm>

#include <fmt/format.h>

namespace graft::tools {
namespace {

using formats::KlpTag;

struct DisplayName {
    u32 symbol;
    std::string text;
};

// Of functions whose linkage name isn't what people would write.
std::vector<DisplayName> display_names(const Object& object) {
    std::vector<DisplayName> names;
    for (u32 i = 1; i < object.symbols.size(); ++i) {
        const ObjectSymbol& symbol = object.symbols[i];
        if (symbol.type != STT_FUNC || symbol.is_undefined() || symbol.size == 0) continue;
        std::string text = demangled(symbol.name);
        if (text == symbol.name) continue;
        names.push_back({i, text.substr(0, formats::kKlpMaxSymbolName)});
    }
    return names;
}

std::vector<std::byte> metadata(const Object& object, const KlpContents& contents,
                                const formats::KlpBuildId& build_id) {
    std::vector<DisplayName> names = display_names(object);
    std::vector<std::byte> bytes;
    // The first round only measures.
    for (int round = 0; round < 2; ++round) {
        formats::KlpMetadataWriter writer(bytes, build_id);
        auto text = [&](KlpTag tag, const std::string& value) {
            if (!value.empty()) writer.text(tag, value);
        };
        text(KlpTag::name, contents.texts.name);
        text(KlpTag::set, contents.texts.set);
        text(KlpTag::version, contents.texts.version);
        text(KlpTag::description, contents.texts.description);
        text(KlpTag::fixes, contents.texts.fixes);
        text(KlpTag::built_from, contents.texts.built_from);
        text(KlpTag::built_with, contents.texts.built_with);
        if (contents.endless) writer.flags(formats::kKlpFlagEndless);
        for (const KlpContents::Function& function : contents.functions) {
            std::vector<formats::KlpRange> ranges;
            for (const auto& part : function.old_function.parts) ranges.push_back({part.begin, part.bytes});
            writer.function(function.tag, function.old_function.name, function.old_function.entry,
                            function.old_function.position, function.new_symbol, ranges);
        }
        for (const KlpContents::State& state : contents.states) {
            formats::KlpState record = state.record;
            record.name = state.name;
            writer.state(record);
        }
        for (auto [symbol, address] : contents.references) writer.reference(symbol, address);
        for (const DisplayName& name : names) writer.display_name(name.symbol, name.text);
        bytes.resize(writer.finish());
    }
    return bytes;
}

}  // namespace

PackResult<KlpContents::State> make_state(const std::string& path, const Declared& declared,
                                          const std::vector<KlpContents::State>& others) {
    KlpContents::State state{.name = declared.text, .record = {}};
    state.record.id = declared.state.id;
    state.record.version = declared.state.version;
    state.record.flags = declared.state.irreversible != 0 ? formats::kKlpStateIrreversible : 0;
    state.record.time_limit_ms = declared.state.time_limit_ms;
    for (usize i = 0; i < formats::kKlpCallbackCount; ++i)
        state.record.callback[i] = declared.state_callbacks[i].value_or(0);

    auto bad = [&](const std::string& why) {
        return pack_error(fmt::format("{}: state '{}': {}", path, state.name, why));
    };
    if (!formats::is_patch_name(state.name))
        return bad(fmt::format("can't be a name: 1 to {} of A-Z a-z 0-9 . _ - +, the first a letter or digit",
                               formats::kKlpMaxPatchName));
    if (state.record.id == 0) return bad("needs an id (.id = N, not 0)");
    if (state.record.time_limit_ms == 0 || state.record.time_limit_ms > formats::kKlpMaxTimeLimitMs)
        return bad(fmt::format("time limit of {} ms: 1 to {} is possible", state.record.time_limit_ms,
                               formats::kKlpMaxTimeLimitMs));
    for (const KlpContents::State& other : others) {
        if (other.record.id == state.record.id)
            return bad(fmt::format("has the id {} of state '{}'", state.record.id, other.name));
    }
    if (others.size() == formats::kKlpMaxStates)
        return bad(fmt::format("one too many, at most {} are possible", formats::kKlpMaxStates));
    return state;
}

std::string compiler_of(const Object& object) {
    const ObjectSection* comment = object.section(".comment");
    if (!comment || comment->contents.size() <= 1) return {};
    // NUL-terminated strings, the first of which some compilers leave empty.
    std::string_view all(reinterpret_cast<const char*>(comment->contents.data()), comment->contents.size());
    usize begin = std::min(all.find_first_not_of('\0'), all.size());
    return std::string(all.substr(begin, std::min(all.find('\0', begin), begin + formats::kKlpMaxText) - begin));
}

std::string build_id_text(const formats::KlpBuildId& build_id) {
    return fmt::format("{:02x}", fmt::join(build_id, ""));
}

PackResult<std::vector<std::byte>> write_klp(Object object, const KlpContents& contents,
                                             const formats::KlpBuildId& build_id) {
    std::vector<std::byte> section = metadata(object, contents, build_id);
    if (auto checked = formats::KlpMetadata::open(section); !checked)
        return pack_error(fmt::format("{}: the metadata breaks a limit of the format (reason {}, found {}, at most {})",
                                      object.path, static_cast<int>(checked.error().reason), checked.error().found,
                                      checked.error().expected));
    ObjectSection patch{.name = std::string(formats::kKlpSection),
                        .type = SHT_PROGBITS,
                        .flags = 0,
                        .size = section.size(),
                        .alignment = 8,
                        .entry_size = 0,
                        .contents = std::move(section),
                        .relocations = {}};
    object.sections.push_back(std::move(patch));
    usize relocation_sections = static_cast<usize>(std::count_if(
        object.sections.begin(), object.sections.end(), [](const auto& one) { return !one.relocations.empty(); }));
    if (object.sections.size() + relocation_sections + 3 > formats::kKlpMaxSections ||
        object.symbols.size() > formats::kKlpMaxSymbols)
        return pack_error(fmt::format("{}: {} sections and {} symbols: at most {} and {} are possible", object.path,
                                      object.sections.size(), object.symbols.size(), formats::kKlpMaxSections,
                                      formats::kKlpMaxSymbols));

    std::vector<std::byte> file = write_object(object);
    auto envelope = formats::encode_klp_envelope({.object_size = file.size(), .key_id = {}, .signature = {}});
    file.insert(file.end(), envelope.begin(), envelope.end());
    if (file.size() > formats::kKlpMaxFile)
        return pack_error(fmt::format("{}: the patch has {} bytes, at most {} are possible", object.path, file.size(),
                                      formats::kKlpMaxFile));
    return file;
}

}  // namespace graft::tools
