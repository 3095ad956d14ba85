#include "tools/graft/fit.h"

#include <algorithm>
#include <cstring>
#include <map>

#include <fmt/format.h>

#include "formats/version.h"
#include "tools/graft/names.h"

namespace graft::tool {
namespace {

std::unexpected<Failure> unfit(const PatchFile& patch, const std::string& reason) {
    return refused(fmt::format("{}: {}", patch.path, reason));
}

Outcome<void> check_signature_of(const PatchFile& patch, const std::vector<tools::NamedPublicKey>& keys) {
    const tools::NamedPublicKey* signer = nullptr;
    auto state = tools::check_signature(patch.bytes, keys, signer);
    if (!state) return unfit(patch, state.error().text);
    switch (*state) {
        case tools::SignatureState::none:
            return unfit(patch, "not signed, and the image takes signed patches only at boot");
        case tools::SignatureState::unknown_key:
            return unfit(patch, fmt::format("signed with a key that the image doesn't have (key id {:02x})",
                                            fmt::join(patch.file.envelope.key_id, "")));
        case tools::SignatureState::wrong:
            return unfit(patch, fmt::format("the signature is not {}'s, or the patch was changed since", signer->name));
        case tools::SignatureState::right:
            break;
    }
    return {};
}

Outcome<void> check_function(const PatchFile& patch, const tools::Image& image, const formats::KlpFunction& function) {
    std::string name = readable_name(std::string(function.name));
    auto old = image.function_at(function.entry);
    if (!old) return unfit(patch, fmt::format("{}: {}", name, old.error().text));
    if (old->init_text) return unfit(patch, fmt::format("{}: only runs while the image boots, and is gone then", name));
    if (function.tag == formats::KlpTag::func && (!old->has_site || old->no_patch))
        return unfit(patch, fmt::format("{}: the image's function can't be patched", name));
    bool is_same_name = old->name == function.name || image.has_symbol(function.name, function.entry);
    bool is_same_position = old->name != function.name || old->position == function.position;
    bool has_same_parts = old->parts.size() == function.range_count;
    Reader ranges(function.encoded_ranges);
    for (usize i = 0; has_same_parts && i < old->parts.size(); ++i) {
        auto range = formats::KlpFunction::next_range(ranges);
        has_same_parts = range.begin == old->parts[i].begin && std::ranges::equal(range.bytes, old->parts[i].bytes);
    }
    if (!is_same_name || !is_same_position || !has_same_parts)
        return unfit(patch, fmt::format("{}: the image has another function at {:#x}", name, function.entry.value));
    return {};
}

}  // namespace

Outcome<PatchFile> open_patch_file(const std::string& path) {
    PatchFile patch;
    patch.path = path;
    auto bytes = tools::read_file(path);
    if (!bytes) return refused(bytes.error().text);
    patch.bytes = std::move(*bytes);
    auto file = formats::open_klp(patch.bytes);
    if (!file) return unfit(patch, "no patch, or a damaged one: no sound envelope at its end");
    patch.file = *file;
    auto object = tools::read_object(patch.file.object, path);
    if (!object) return refused(object.error().text);
    patch.object = std::move(*object);
    const tools::ObjectSection* section = patch.object.section(formats::kKlpSection);
    if (!section) return unfit(patch, fmt::format("no section {}", formats::kKlpSection));
    auto metadata = formats::KlpMetadata::open(section->contents);
    if (!metadata) return unfit(patch, "its metadata are damaged, or of another format version");
    patch.metadata = *metadata;
    return patch;
}

Outcome<std::vector<tools::NamedPublicKey>> trusted_keys_of(const tools::Image& image) {
    auto no_keys = [&] { return refused(fmt::format("{}: no table of trusted keys in it", image.path())); };
    auto at = image.visible(formats::kTrustedKeysSymbol);
    if (!at) return no_keys();
    std::vector<tools::NamedPublicKey> keys;
    for (VirtAddr row = *at;; row = row + sizeof(formats::TrustedKey)) {
        auto bytes = image.bytes(row, sizeof(formats::TrustedKey));
        if (bytes.empty()) return no_keys();
        formats::TrustedKey key;
        std::memcpy(&key, bytes.data(), sizeof(key));
        if (key.name().empty()) return keys;
        keys.push_back({std::string(key.name()), key.key, key.id});
    }
}

Outcome<void> check_fit(const PatchFile& patch, const tools::Image& image,
                        const std::vector<tools::NamedPublicKey>& keys) {
    GRAFT_CHECK(check_signature_of(patch, keys));
    if (!std::ranges::equal(patch.metadata.header().build_id, image.build_id()))
        return unfit(patch,
                     fmt::format("made for another image: its build-id is {:02x}, the image's {:02x}",
                                 fmt::join(patch.metadata.header().build_id, ""), fmt::join(image.build_id(), "")));
    if (patch.metadata.is_endless())
        return unfit(patch, "it replaces a function that never returns, which no boot allows");
    for (usize cursor = 0; auto function = patch.metadata.next_function(cursor);)
        GRAFT_CHECK(check_function(patch, image, *function));
    for (usize cursor = 0; auto reference = patch.metadata.next_reference(cursor);) {
        if (reference->symbol >= patch.object.symbols.size()) return unfit(patch, "a reference names no symbol");
        const std::string& name = patch.object.symbols[reference->symbol].name;
        if (!image.has_symbol(name, reference->address))
            return unfit(patch,
                         fmt::format("the image has no {} at {:#x}", readable_name(name), reference->address.value));
    }
    return {};
}

Outcome<void> check_together(const std::vector<PatchFile>& patches) {
    struct Claim {
        const PatchFile* patch;
        std::string set;
    };
    std::map<u64, Claim> claims;
    std::map<std::string, const PatchFile*> names, last_of_set;
    for (const PatchFile& patch : patches) {
        if (auto [other, is_new] = names.emplace(patch.name(), &patch); !is_new)
            return unfit(patch,
                         fmt::format("a patch called {} is there already: {}", patch.name(), other->second->path));
        if (auto former = last_of_set.find(patch.set()); former != last_of_set.end()) {
            auto had = formats::parse_patch_version(former->second->metadata.version());
            auto has = formats::parse_patch_version(patch.metadata.version());
            if (had && (!has || *has < *had))
                return unfit(patch, fmt::format("a lower version than {}, which is of the same set and comes before it",
                                                former->second->path));
        }
        if (formats::parse_patch_version(patch.metadata.version())) last_of_set[patch.set()] = &patch;
        for (usize cursor = 0; auto function = patch.metadata.next_function(cursor);) {
            auto [claim, is_new] = claims.emplace(function->entry.value, Claim{&patch, patch.set()});
            if (is_new || claim->second.set == patch.set()) continue;
            return unfit(patch, fmt::format("{} belongs to {}, a patch of another set",
                                            readable_name(std::string(function->name)), claim->second.patch->path));
        }
    }
    return {};
}

}  // namespace graft::tool
