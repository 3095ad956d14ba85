// Refusals of a file for its frame: envelope, signature, version, object, metadata.
#include "tests/unit/patch_refusal_cases.h"

namespace graft::patch::refusals {

// ---- envelope -------------------------------------------------------------------------------------------------------

void add_envelope_cases(std::vector<Case>& cases) {
    cases.push_back({RefusalCode::not_a_patch, "empty", [](Fixture& at) { return at.registry.load({}, {}, {}); }});
    cases.push_back(spoiled_bytes(RefusalCode::not_a_patch, "cut", [](Bytes& file) { file.pop_back(); }));
    cases.push_back(spoiled_bytes(RefusalCode::not_a_patch, "magic",
                                  [](Bytes& file) { file[file.size() - formats::kKlpEnvelopeSize] ^= std::byte{1}; }));
    cases.push_back(spoiled_bytes(RefusalCode::file_too_large, "size",
                                  [](Bytes& file) { file.insert(file.begin(), formats::kKlpMaxFile, std::byte{0}); }));
    for (usize field : {8, 12, 16}) {
        cases.push_back(spoiled_bytes(
            RefusalCode::bad_envelope, "field " + std::to_string(field),
            [field](Bytes& file) { file[file.size() - formats::kKlpEnvelopeSize + field] ^= std::byte{1}; }));
    }
    for (usize field : {24, 103}) {
        cases.push_back(spoiled_bytes(RefusalCode::unknown_key, "byte " + std::to_string(field), [field](Bytes& file) {
            file[file.size() - formats::kKlpEnvelopeSize + field] = std::byte{1};
        }));
    }
}

void add_version_cases(std::vector<Case>& cases) {
    for (std::string text : {"x", "1.", ".1", "1..2", "1.2.3.4.5", "4294967296", "1.2 ", "-1", "v1"}) {
        cases.push_back(spoiled(RefusalCode::bad_version, text, [text](PatchBuilder& builder, Fixture&) {
            builder.more_metadata = [text](auto& writer) { writer.text(formats::KlpTag::version, text); };
        }));
    }
    cases.push_back({RefusalCode::downgrade, "replayed", [](Fixture& at) {
                         auto file = [&](std::string version) {
                             PatchBuilder builder(at.image, "fix");
                             builder.replace("f0");
                             builder.more_metadata = [version](auto& writer) {
                                 writer.text(formats::KlpTag::version, version);
                             };
                             return builder.build();
                         };
                         must(at.registry.load(file("1.10"), {}, {}));
                         at.registry.complete();
                         must(at.registry.unregister("fix"));
                         at.registry.complete();
                         return at.registry.load(file("1.9"), {}, {});
                     }});
}

void add_signature_cases(std::vector<Case>& cases) {
    cases.push_back(spoiled(RefusalCode::not_signed, "from anywhere",
                            [](PatchBuilder&, Fixture& at) { at.machine.unsigned_accepted = false; }));
    cases.push_back({RefusalCode::wrong_signature, "no signature at all", [](Fixture& at) {
                         formats::TrustedKey key;
                         key.name_bytes[0] = 'k';
                         key.id[0] = 1;
                         at.machine.keys.push_back(key);
                         PatchBuilder builder(at.image, "fix");
                         builder.replace("f0");
                         Bytes file = builder.build();
                         file[file.size() - formats::kKlpEnvelopeSize + formats::kKlpKeyIdOffset] = std::byte{1};
                         return at.registry.load(file, {}, {});
                     }});
}

// ---- frame of the object --------------------------------------------------------------------------------------------

namespace {

Case header(RefusalCode code, std::string why, std::function<void(elf::Header&)> spoil) {
    return spoiled(code, std::move(why),
                   [spoil](PatchBuilder& builder, Fixture&) { builder.object.spoil_header = spoil; });
}

}  // namespace

void add_object_cases(std::vector<Case>& cases) {
    cases.push_back(header(RefusalCode::not_an_object, "magic", [](elf::Header& h) { h.ident[0] = 0; }));
    cases.push_back(header(RefusalCode::not_an_object, "32 bit", [](elf::Header& h) { h.ident[4] = 1; }));
    cases.push_back(header(RefusalCode::not_an_object, "executable", [](elf::Header& h) { h.type = 2; }));
    cases.push_back({RefusalCode::not_an_object, "short",
                     [](Fixture& at) { return at.registry.load(PatchBuilder::with_envelope(Bytes(20)), {}, {}); }});
    cases.push_back(header(RefusalCode::wrong_machine, "aarch64", [](elf::Header& h) { h.machine = 183; }));
    cases.push_back(
        header(RefusalCode::bad_section_table, "place", [](elf::Header& h) { h.section_headers = 1u << 30; }));
    cases.push_back(
        header(RefusalCode::bad_section_table, "wraps", [](elf::Header& h) { h.section_headers = ~u64{0} - 63; }));
    cases.push_back(
        header(RefusalCode::bad_section_table, "entry size", [](elf::Header& h) { h.section_header_size = 40; }));
    cases.push_back(header(RefusalCode::bad_section_table, "names", [](elf::Header& h) { h.name_section = 0xfff0; }));
    cases.push_back(
        header(RefusalCode::bad_section_table, "names in text", [](elf::Header& h) { h.name_section = 1; }));
    cases.push_back(spoiled(RefusalCode::bad_section_table, "name offset", [](PatchBuilder& builder, Fixture&) {
        builder.object.spoil_sections = [](auto& sections) { sections[1].name = 1u << 20; };
    }));
    cases.push_back(
        header(RefusalCode::too_many_sections, "count", [](elf::Header& h) { h.section_header_count = 0xfe00; }));
    cases.push_back({RefusalCode::no_metadata, "none", [](Fixture& at) {
                         PatchBuilder builder(at.image, "fix");
                         builder.add_function("lonely");
                         return at.registry.load(PatchBuilder::with_envelope(builder.object.build()), {}, {});
                     }});
    cases.push_back(spoiled(RefusalCode::no_metadata, "two", [](PatchBuilder& builder, Fixture&) {
        add_raw(builder, ".graft.patch", elf::kSectionProgram, 0, 32);
    }));
}

// ---- metadata -------------------------------------------------------------------------------------------------------

void add_metadata_cases(std::vector<Case>& cases) {
    using formats::KlpTag;
    auto tag = [](KlpTag wanted) { return static_cast<u16>(wanted); };
    cases.push_back(metadata(RefusalCode::bad_metadata, "magic", [](Bytes& section) { section[0] ^= std::byte{1}; }));
    cases.push_back(metadata(RefusalCode::bad_metadata, "short", [](Bytes& section) { section.resize(20); }));
    cases.push_back(metadata(RefusalCode::bad_metadata, "reserved", [](Bytes& section) { section[6] = std::byte{1}; }));
    cases.push_back(metadata(RefusalCode::bad_metadata, "count", [](Bytes& section) { section[8] ^= std::byte{8}; }));
    cases.push_back(metadata(RefusalCode::bad_metadata, "cut record", [](Bytes& section) { section.pop_back(); }));
    cases.push_back(
        metadata(RefusalCode::unknown_format, "version", [](Bytes& section) { section[4] = std::byte{2}; }));
    cases.push_back(spoiled(RefusalCode::wrong_build, "build-id",
                            [](PatchBuilder& builder, Fixture&) { builder.build_id[7] ^= 1; }));
    cases.push_back(metadata(RefusalCode::unknown_record, "critical",
                             [](Bytes& section) { append_record(section, 99, formats::kKlpCritical, {}); }));
    cases.push_back(metadata(RefusalCode::bad_record, "func payload", [tag](Bytes& section) {
        append_record(section, tag(KlpTag::func), formats::kKlpCritical, Bytes(10));
    }));
    cases.push_back(metadata(RefusalCode::bad_record, "reference payload", [tag](Bytes& section) {
        append_record(section, tag(KlpTag::reference), formats::kKlpCritical, Bytes(15));
    }));
    cases.push_back(spoiled(RefusalCode::bad_record, "position 0",
                            [](PatchBuilder& builder, Fixture&) { builder.functions[0].position = 0; }));
    cases.push_back(spoiled(RefusalCode::bad_record, "no range",
                            [](PatchBuilder& builder, Fixture&) { builder.functions[0].parts.clear(); }));
    auto displayed = [&](RefusalCode code, std::string why, u32 first, u32 second, std::string text) {
        cases.push_back(spoiled(code, std::move(why), [=](PatchBuilder& builder, Fixture&) {
            builder.more_metadata = [=](auto& writer) {
                writer.display_name(first, "f");
                writer.display_name(second, text);
            };
        }));
    };
    displayed(RefusalCode::bad_record, "display name of nothing", 0, 1, "g");
    displayed(RefusalCode::bad_record, "display names twice", 1, 1, "g");
    displayed(RefusalCode::bad_record, "display names out of order", 2, 1, "g");
    displayed(RefusalCode::bad_text, "empty display name", 1, 2, "");
    displayed(RefusalCode::bad_text, "display name of two lines", 1, 2, "g\nh");
    displayed(RefusalCode::bad_text, "long display name", 1, 2, std::string(1025, 'g'));
    cases.push_back(spoiled(RefusalCode::bad_text, "version", [](PatchBuilder& builder, Fixture&) {
        builder.more_metadata = [](auto& writer) { writer.text(KlpTag::version, "1.0\n2.0"); };
    }));
    cases.push_back(spoiled(RefusalCode::bad_text, "long", [](PatchBuilder& builder, Fixture&) {
        builder.more_metadata = [](auto& writer) { writer.text(KlpTag::fixes, std::string(201, 'x')); };
    }));
    cases.push_back(spoiled(RefusalCode::bad_text, "set", [](PatchBuilder& builder, Fixture&) {
        builder.more_metadata = [](auto& writer) { writer.text(KlpTag::set, "../up"); };
    }));
    cases.push_back(spoiled(RefusalCode::repeated_record, "version", [](PatchBuilder& builder, Fixture&) {
        builder.more_metadata = [](auto& writer) {
            writer.text(KlpTag::version, "1");
            writer.text(KlpTag::version, "2");
        };
    }));
    cases.push_back({RefusalCode::no_name, "nameless", [](Fixture& at) {
                         PatchBuilder builder(at.image, "");
                         builder.replace("f0");
                         return at.registry.load(builder.build(), "given", {});
                     }});
    cases.push_back(spoiled(RefusalCode::too_many_functions, "bomb", [](PatchBuilder& builder, Fixture& at) {
        for (u32 i = 0; i < formats::kKlpMaxFunctions; ++i) builder.add_hold(at.image.function("f1"));
    }));
    cases.push_back(metadata(RefusalCode::too_many_references, "bomb", [tag](Bytes& section) {
        Bytes payload(16);
        payload[0] = std::byte{1};
        for (u32 i = 0; i <= formats::kKlpMaxReferences; ++i) {
            append_record(section, tag(KlpTag::reference), formats::kKlpCritical, payload);
        }
    }));
    cases.push_back(spoiled(RefusalCode::unknown_flags, "flags", [](PatchBuilder& builder, Fixture&) {
        builder.more_metadata = [](auto& writer) { writer.flags(2); };
    }));
    cases.push_back(metadata(RefusalCode::unknown_flags, "record flags",
                             [](Bytes& section) { append_record(section, 99, 2, {}); }));
}

}  // namespace graft::patch::refusals
