// inspect: what a patch file is and holds, without a system to load it into.
#include <elf.h>

#include <array>
#include <filesystem>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "formats/klp.h"
#include "tools/graft/command.h"
#include "tools/graft/inspect_diff.h"
#include "tools/graft/json.h"
#include "tools/graft/names.h"
#include "tools/patch/object.h"
#include "tools/signing/keys.h"

namespace graft::tool {
namespace {

using formats::KlpError;
using formats::KlpTag;

const char* describe(KlpError::Reason reason) {
    switch (reason) {
        case KlpError::Reason::too_short:
            return "too short for an envelope";
        case KlpError::Reason::too_long:
            return "too long";
        case KlpError::Reason::bad_magic:
            return "no envelope at the end: not a patch, or a truncated one";
        case KlpError::Reason::bad_envelope:
            return "envelope of another version";
        case KlpError::Reason::bad_size:
            return "the envelope's object size doesn't fit the file";
        case KlpError::Reason::bad_metadata:
            return "metadata header damaged";
        case KlpError::Reason::bad_format:
            return "format version of other readers";
        case KlpError::Reason::truncated_record:
            return "a record reaches past the end of the metadata";
        case KlpError::Reason::unknown_record:
            return "a critical record of an unknown kind";
        case KlpError::Reason::bad_record:
            return "a record isn't what its tag says";
        case KlpError::Reason::bad_version:
            return "the version isn't one to four numbers with dots between";
        case KlpError::Reason::bad_text:
            return "a text is empty, too long, or has characters that aren't allowed";
        case KlpError::Reason::repeated_record:
            return "a record occurs twice";
        case KlpError::Reason::missing_record:
            return "the patch has no name";
        case KlpError::Reason::too_many_functions:
            return "too many functions";
        case KlpError::Reason::too_many_references:
            return "too many references";
        case KlpError::Reason::too_many_states:
            return "too many states";
        case KlpError::Reason::unknown_flags:
            return "unknown flags";
    }
    return "damaged";
}

std::unexpected<Failure> klp_failure(const std::string& path, const KlpError& error) {
    return refused(fmt::format("{}: {} (at {:#x}, found {:#x}, expected {:#x})", path, describe(error.reason),
                               error.where, error.found, error.expected));
}

struct Sizes {
    u64 text = 0;
    u64 rodata = 0;
    u64 data = 0;

    void add(const tools::ObjectSection& section) {
        if ((section.flags & SHF_ALLOC) == 0) return;
        u64& area = section.flags & SHF_EXECINSTR ? text : section.flags & SHF_WRITE ? data : rodata;
        area += section.size;
    }
};

// All views point into `bytes` and `object`, which live as long.
struct Inspected {
    std::string path;
    std::vector<std::byte> bytes;
    tools::Object object;
    formats::KlpFile file;
    std::optional<formats::KlpMetadata> metadata;
    Sizes sizes;
    std::string signature;  // what is known of it

    std::string key_id() const {
        return file.envelope.is_signed() ? fmt::format("{:02x}", fmt::join(file.envelope.key_id, "")) : "";
    }
    std::string symbol_name(u32 index) const {
        return index < object.symbols.size() ? object.symbols[index].name : fmt::format("symbol {}", index);
    }
};

Outcome<std::unique_ptr<Inspected>> open_patch(const std::string& path) {
    auto patch = std::make_unique<Inspected>();
    patch->path = path;
    auto bytes = tools::read_file(path);
    if (!bytes) return refused(bytes.error().text);
    patch->bytes = std::move(*bytes);
    auto file = formats::open_klp(patch->bytes);
    if (!file) return klp_failure(path, file.error());
    patch->file = *file;
    auto object = tools::read_object(patch->file.object, path);
    if (!object) return refused(object.error().text);
    patch->object = std::move(*object);
    const tools::ObjectSection* section = patch->object.section(formats::kKlpSection);
    if (!section) return refused(fmt::format("{}: no section {}", path, formats::kKlpSection));
    auto metadata = formats::KlpMetadata::open(section->contents);
    if (!metadata) return klp_failure(path, metadata.error());
    patch->metadata = *metadata;
    for (const auto& one : patch->object.sections) patch->sizes.add(one);
    return patch;
}

u64 size_of(const formats::KlpFunction& function) {
    Reader reader(function.encoded_ranges);
    u64 size = 0;
    for (u32 i = 0; i < function.range_count; ++i) size += formats::KlpFunction::next_range(reader).bytes.size();
    return size;
}

std::string build_id(const formats::KlpMetadata& metadata) {
    return fmt::format("{:02x}", fmt::join(metadata.header().build_id, ""));
}

std::vector<std::pair<const char*, std::string>> attributes(const Inspected& patch) {
    const formats::KlpMetadata& metadata = *patch.metadata;
    return {{"name", std::string(metadata.name())},
            {"set", std::string(metadata.set())},
            {"version", std::string(metadata.version())},
            {"description", std::string(metadata.description())},
            {"fixes", std::string(metadata.fixes())},
            {"build_id", build_id(metadata)},
            {"built_from", std::string(metadata.built_from())},
            {"built_with", std::string(metadata.built_with())}};
}

// By formats::KlpCallback.
constexpr std::array<const char*, formats::kKlpCallbackCount> kCallbackNames = {
    "pre_patch", "post_patch", "pre_unpatch", "post_unpatch", "destroy"};

void print_states(JsonWriter& json, const Inspected& patch) {
    json.key("states").begin_array();
    for (usize cursor = 0; auto state = patch.metadata->next_state(cursor);) {
        json.begin_object().field("name", state->name).field("id", state->id).field("version", state->version);
        json.field("irreversible", state->is_irreversible()).field("time_limit_ms", state->time_limit_ms);
        for (usize i = 0; i < kCallbackNames.size(); ++i) {
            if (state->callback[i] != 0) json.field(kCallbackNames[i], patch.symbol_name(state->callback[i]));
        }
        json.end();
    }
    json.end();
}

void print_states(const Inspected& patch) {
    if (patch.metadata->state_count() != 0) fmt::print("\nstates\n");
    for (usize cursor = 0; auto state = patch.metadata->next_state(cursor);) {
        fmt::print("  {} ({:#x}), version {}{}, {} ms a callback\n", state->name, state->id, state->version,
                   state->is_irreversible() ? ", irreversible" : "", state->time_limit_ms);
        for (usize i = 0; i < kCallbackNames.size(); ++i) {
            if (state->callback[i] == 0) continue;
            fmt::print("    {:<13} {}\n", kCallbackNames[i], readable_name(patch.symbol_name(state->callback[i])));
        }
    }
}

// "no", or who signed it as far as the keys tell. A signature that is wrong is a refusal.
Outcome<std::string> judge_signature(const Inspected& patch, const std::vector<tools::NamedPublicKey>& keys) {
    const tools::NamedPublicKey* signer = nullptr;
    auto state = tools::check_signature(patch.bytes, keys, signer);
    if (!state) return refused(fmt::format("{}: {}", patch.path, state.error().text));
    switch (*state) {
        case tools::SignatureState::none:
            return "no";
        case tools::SignatureState::unknown_key:
            if (keys.empty()) return "yes, not checked";
            return refused(fmt::format("{}: signed with a key that is none of those given", patch.path));
        case tools::SignatureState::wrong:
            return refused(
                fmt::format("{}: the signature is not {}'s, or the patch was changed since", patch.path, signer->name));
        case tools::SignatureState::right:
            break;
    }
    return "yes, by " + signer->name;
}

// Key files, and folders whose *.pub files are taken.
Outcome<std::vector<tools::NamedPublicKey>> read_keys(const std::vector<std::string>& places) {
    std::vector<tools::NamedPublicKey> keys;
    auto add = [&](const std::string& path) -> Outcome<void> {
        auto key = tools::read_public_key(path);
        if (!key) return refused(key.error().text);
        keys.push_back(std::move(*key));
        return {};
    };
    for (const std::string& place : places) {
        std::error_code error;
        if (!std::filesystem::is_directory(place, error)) {
            GRAFT_CHECK(add(place));
            continue;
        }
        for (const auto& entry : std::filesystem::directory_iterator(place, error)) {
            if (entry.path().extension() == ".pub") GRAFT_CHECK(add(entry.path().string()));
        }
    }
    if (!places.empty() && keys.empty()) return refused(fmt::format("{}: no *.pub in it", places.front()));
    return keys;
}

void print_json(const Inspected& patch, const std::vector<FunctionDiff>& diffs) {
    JsonWriter json;
    json.begin_object();
    for (const auto& [name, value] : attributes(patch)) json.field(name, value);
    json.field("signed", patch.file.envelope.is_signed()).field("signature", patch.signature);
    json.field("key_id", patch.key_id()).field("endless", patch.metadata->is_endless());
    json.field("file_size", patch.bytes.size()).field("text_size", patch.sizes.text);
    json.field("rodata_size", patch.sizes.rodata).field("data_size", patch.sizes.data);
    json.key("functions").begin_array();
    for (usize cursor = 0; auto function = patch.metadata->next_function(cursor);) {
        bool held = function->tag == KlpTag::hold;
        json.begin_object().field("name", function->name).field("position", function->position);
        json.field("address", fmt::format("{:#x}", function->entry.value)).field("size", size_of(*function));
        json.field("held", held).field("new", held ? "" : patch.symbol_name(function->symbol)).end();
    }
    json.end();
    print_states(json, patch);
    json.key("references").begin_array();
    for (usize cursor = 0; auto reference = patch.metadata->next_reference(cursor);) {
        json.begin_object().field("name", patch.symbol_name(reference->symbol));
        json.field("address", fmt::format("{:#x}", reference->address.value)).end();
    }
    json.end();
    if (!diffs.empty()) json.key("diff").begin_array();
    for (const FunctionDiff& diff : diffs) {
        json.begin_object().field("name", diff.old_name).field("position", diff.position).field("new", diff.new_name);
        json.key("lines").begin_array();
        for (const std::string& line : diff.lines) json.value(line);
        json.end().end();
    }
    if (!diffs.empty()) json.end();
    json.end();
    fmt::print("{}\n", json.text());
}

void print_text(const Inspected& patch) {
    for (const auto& [name, value] : attributes(patch)) {
        if (!value.empty()) fmt::print("{:<12} {}\n", name, value);
    }
    fmt::print("{:<12} {}\n", "signed", patch.signature);
    if (patch.file.envelope.is_signed()) fmt::print("{:<12} {}\n", "key_id", patch.key_id());
    if (patch.metadata->is_endless()) fmt::print("{:<12} yes: a function never returns\n", "endless");
    fmt::print("{:<12} file {}, text {}, rodata {}, data {}\n", "sizes", patch.bytes.size(), patch.sizes.text,
               patch.sizes.rodata, patch.sizes.data);
    fmt::print("\nfunctions\n");
    for (usize cursor = 0; auto function = patch.metadata->next_function(cursor);) {
        std::string old_name = fmt::format("{},{}", function->name, function->position);
        std::string becomes =
            function->tag == KlpTag::hold ? ": held" : " -> " + readable_name(patch.symbol_name(function->symbol));
        fmt::print("  {:#018x} {:>6}  {}{}\n", function->entry.value, size_of(*function), readable_name(old_name),
                   becomes);
    }
    print_states(patch);
    if (patch.metadata->reference_count() != 0) fmt::print("\nreferences\n");
    for (usize cursor = 0; auto reference = patch.metadata->next_reference(cursor);)
        fmt::print("  {:#018x}         {}\n", reference->address.value,
                   readable_name(patch.symbol_name(reference->symbol)));
}

void print_diffs(const std::vector<FunctionDiff>& diffs) {
    for (const FunctionDiff& diff : diffs) {
        fmt::print("\n--- {},{}\n+++ {}\n", readable_name(diff.old_name), diff.position, readable_name(diff.new_name));
        for (const std::string& line : diff.lines) fmt::print("{}\n", line);
        if (diff.lines.empty()) fmt::print("    the same instructions\n");
    }
}

}  // namespace

std::string declared_patch_name(std::span<const std::byte> bytes) {
    auto file = formats::open_klp(bytes);
    if (!file) return {};
    auto object = tools::read_object(file->object, "");
    if (!object) return {};
    const tools::ObjectSection* section = object->section(formats::kKlpSection);
    if (!section) return {};
    auto metadata = formats::KlpMetadata::open(section->contents);
    return metadata ? std::string(metadata->name()) : std::string();
}

void define_inspect(CLI::App& app, CommandLine& line) {
    auto path = std::make_shared<std::string>();
    auto keys = std::make_shared<std::vector<std::string>>();
    CLI::App* command = app.add_subcommand("inspect", "Show what a patch file replaces, refers to and how large it is");
    command->add_option("FILE", *path, "The patch, a .klp file")->required()->type_name("");
    command->add_option("--keys", *keys, "Check the signature with these public keys: files, or folders of *.pub")
        ->type_name("PATH");
    auto base = std::make_shared<std::string>();
    auto with_diff = std::make_shared<bool>(false);
    command->add_flag("--diff", *with_diff, "Also the instructions of each function, as a unified diff");
    command->add_option("--base", *base, "For --diff: the image, or its build folder, such as build/demo")
        ->type_name("FOLDER|IMAGE");
    command->callback([&line, path, keys, base, with_diff] {
        line.action = [path, keys, base, with_diff](const Globals& globals) -> Outcome<void> {
            if (*with_diff != !base->empty()) return misused("inspect: --diff needs --base, and --base is for --diff");
            auto trusted = GRAFT_TRY(read_keys(*keys));
            auto patch = GRAFT_TRY(open_patch(*path));
            patch->signature = GRAFT_TRY(judge_signature(*patch, trusted));
            std::vector<FunctionDiff> diffs;
            if (*with_diff) diffs = GRAFT_TRY(function_diffs(patch->file.object, *patch->metadata, *path, *base));
            globals.json ? print_json(*patch, diffs) : print_text(*patch);
            if (!globals.json) print_diffs(diffs);
            return {};
        };
    });
}

}  // namespace graft::tool
