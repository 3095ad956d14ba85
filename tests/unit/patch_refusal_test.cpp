// One test for each refusal: a patch that is right but for one thing. What is refused leaves no trace.
#include <cstring>
#include <functional>
#include <set>

#include "formats/klp.h"
#include "tests/unit/patch_fixture.h"

namespace graft::patch {
namespace {

using sim::Bytes;
using sim::PatchBuilder;
using sim::SimImage;

constexpr u64 kWrite = elf::kFlagAlloc | elf::kFlagWrite;

struct Fixture {
    SimImage& image;
    sim::StillMachine& machine;
    Registry& registry;
};

struct Case {
    RefusalCode code;
    std::string why;
    std::function<RefusalResult<void>(Fixture&)> request;
};

// A patch `fix` that replaces f0, spoiled before it is built.
Case spoiled(RefusalCode code, std::string why, std::function<void(PatchBuilder&, Fixture&)> spoil) {
    return {code, std::move(why), [spoil](Fixture& at) {
                PatchBuilder builder(at.image, "fix");
                builder.replace("f0");
                spoil(builder, at);
                return at.registry.load(builder.build(), {}, {});
            }};
}

// Finished, then spoiled.
Case spoiled_bytes(RefusalCode code, std::string why, std::function<void(Bytes&)> spoil) {
    return {code, std::move(why), [spoil](Fixture& at) {
                PatchBuilder builder(at.image, "fix");
                builder.replace("f0");
                Bytes file = builder.build();
                spoil(file);
                return at.registry.load(file, {}, {});
            }};
}

// A patch for one old function in place of f0.
Case on_function(RefusalCode code, std::string why, std::function<void(PatchBuilder::Function&, Fixture&)> spoil) {
    return spoiled(code, std::move(why),
                   [spoil](PatchBuilder& builder, Fixture& at) { spoil(builder.functions[0], at); });
}

Case metadata(RefusalCode code, std::string why, std::function<void(Bytes&)> spoil) {
    return spoiled(code, std::move(why), [spoil](PatchBuilder& builder, Fixture&) { builder.spoil_metadata = spoil; });
}

void take(PatchBuilder::Function& function, const sim::SimFunction& old) {
    function.name = old.name;
    function.entry = old.entry();
    function.position = old.position;
    function.parts = old.parts;
}

// A raw record, for what the writer never writes.
void append_record(Bytes& section, u16 tag, u16 flags, const Bytes& payload) {
    u32 length = static_cast<u32>(payload.size());
    auto add = [&](const void* bytes, usize size) {
        auto* begin = static_cast<const std::byte*>(bytes);
        section.insert(section.end(), begin, begin + size);
    };
    add(&tag, 2);
    add(&flags, 2);
    add(&length, 4);
    add(payload.data(), payload.size());
    u32 count;
    std::memcpy(&count, section.data() + 8, 4);
    ++count;
    std::memcpy(section.data() + 8, &count, 4);
}

u32 add_raw(PatchBuilder& builder, std::string name, u32 type, u64 flags, u64 size, u64 alignment = 16) {
    return builder.object.add_section(std::move(name), type, flags, Bytes(size), alignment);
}

RefusalResult<void> load_simple(Fixture& at, const std::string& name, const std::string& old) {
    PatchBuilder builder(at.image, name);
    builder.replace(old);
    return at.registry.load(builder.build(), {}, {});
}

void must(RefusalResult<void> result) {
    ASSERT_TRUE(result.has_value());
}

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

Case header(RefusalCode code, std::string why, std::function<void(elf::Header&)> spoil) {
    return spoiled(code, std::move(why),
                   [spoil](PatchBuilder& builder, Fixture&) { builder.object.spoil_header = spoil; });
}

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

// ---- sections -------------------------------------------------------------------------------------------------------

Case with_section(RefusalCode code, std::string name, u32 type, u64 flags, u64 size, u64 alignment = 16) {
    std::string why = "section " + name;
    return spoiled(code, why,
                   [=](PatchBuilder& builder, Fixture&) { add_raw(builder, name, type, flags, size, alignment); });
}

Case sections(RefusalCode code, std::string why, std::function<void(std::vector<elf::Section>&)> spoil) {
    return spoiled(code, std::move(why),
                   [spoil](PatchBuilder& builder, Fixture&) { builder.object.spoil_sections = spoil; });
}

void add_section_cases(std::vector<Case>& cases) {
    cases.push_back(sections(RefusalCode::bad_section, "outside", [](auto& all) { all[1].offset = 1u << 30; }));
    cases.push_back(sections(RefusalCode::bad_section, "wraps", [](auto& all) { all[1].offset = ~u64{0}; }));
    cases.push_back(sections(RefusalCode::bad_section, "long", [](auto& all) { all[1].size = ~u64{0}; }));
    cases.push_back(
        sections(RefusalCode::overlapping_sections, "each other", [](auto& all) { all[1].offset = all[2].offset; }));
    cases.push_back(sections(RefusalCode::overlapping_sections, "header", [](auto& all) { all[1].offset = 32; }));
    cases.push_back(with_section(RefusalCode::bad_alignment, ".data.x", elf::kSectionProgram, kWrite, 8, 3));
    cases.push_back(with_section(RefusalCode::bad_alignment, ".data.x", elf::kSectionProgram, kWrite, 8, 8192));
    cases.push_back(
        with_section(RefusalCode::bad_section_flags, ".text.x", elf::kSectionProgram, kWrite | elf::kFlagExecute, 8));
    cases.push_back(with_section(RefusalCode::bad_section_flags, ".data.x", elf::kSectionProgram, kWrite | 0x800, 8));
    cases.push_back(spoiled(RefusalCode::bad_section_flags, "allocated metadata", [](PatchBuilder& builder, Fixture&) {
        builder.object.spoil_sections = [&builder](auto& all) {
            // .graft.patch is the last section that the builder adds itself
            for (u32 i = 0; i < all.size(); ++i) {
                auto* built = builder.object.find_section(".graft.patch");
                if (built != nullptr && built == &builder.object.section(i)) {
                    all[i].flags = elf::kFlagAlloc;
                    return;
                }
            }
        };
    }));
    cases.push_back(with_section(RefusalCode::tls_section, ".tdata", elf::kSectionProgram, kWrite | elf::kFlagTls, 8));
    cases.push_back(with_section(RefusalCode::unknown_section, ".ctors", elf::kSectionProgram, kWrite, 8));
    cases.push_back(
        with_section(RefusalCode::unknown_section, ".gcc_except_table", elf::kSectionProgram, elf::kFlagAlloc, 8));
    cases.push_back(with_section(RefusalCode::unknown_section, ".database", elf::kSectionProgram, kWrite, 8));
    cases.push_back(with_section(RefusalCode::unknown_section, ".text.x", elf::kSectionZeros,
                                 elf::kFlagAlloc | elf::kFlagExecute, 8));
    cases.push_back(
        spoiled(RefusalCode::no_frames, "none", [](PatchBuilder& builder, Fixture&) { builder.with_frames = false; }));
    cases.push_back(with_section(RefusalCode::no_frames, ".eh_frame", elf::kSectionProgram, elf::kFlagAlloc, 8));
    cases.push_back(with_section(RefusalCode::bad_init_array, ".init_array", elf::kSectionInitArray, kWrite, 12));
    cases.push_back(spoiled(RefusalCode::loaded_too_large, "zeros", [](PatchBuilder& builder, Fixture&) {
        u32 zeros = add_raw(builder, ".bss.x", elf::kSectionZeros, kWrite, 0);
        builder.object.section(zeros).header.size = kMaxLoadedSize;
    }));
    cases.push_back(spoiled(RefusalCode::loaded_too_large, "wraps", [](PatchBuilder& builder, Fixture&) {
        u32 zeros = add_raw(builder, ".bss.x", elf::kSectionZeros, kWrite, 0);
        builder.object.section(zeros).header.size = ~u64{0};
    }));
}

// ---- symbols and references -----------------------------------------------------------------------------------------

void add_symbol_cases(std::vector<Case>& cases) {
    constexpr u8 kObject = 1;
    auto find = [](auto& all, u32 type) {
        for (auto& section : all) {
            if (section.type == type) return &section;
        }
        return static_cast<elf::Section*>(nullptr);
    };
    cases.push_back(sections(RefusalCode::no_symbols, "none",
                             [find](auto& all) { find(all, elf::kSectionSymbols)->type = elf::kSectionProgram; }));
    cases.push_back(with_section(RefusalCode::no_symbols, ".other_symbols", elf::kSectionSymbols, 0, 24));
    cases.push_back(sections(RefusalCode::bad_symbol_table, "entry size",
                             [find](auto& all) { find(all, elf::kSectionSymbols)->entry_size = 16; }));
    cases.push_back(sections(RefusalCode::bad_symbol_table, "strings",
                             [find](auto& all) { find(all, elf::kSectionSymbols)->link = 60000; }));
    cases.push_back(spoiled(RefusalCode::too_many_symbols, "bomb", [](PatchBuilder& builder, Fixture&) {
        for (u32 i = 0; i < formats::kKlpMaxSymbols; ++i) builder.object.add_symbol("", 1, 0, 0, elf::kBindLocal, 0);
    }));
    auto symbol = [&](RefusalCode code, std::string why, std::function<void(PatchBuilder&)> add) {
        cases.push_back(spoiled(code, std::move(why), [add](PatchBuilder& builder, Fixture&) { add(builder); }));
    };
    symbol(RefusalCode::bad_symbol, "section",
           [](auto& b) { b.object.add_symbol("x", 500, 0, 0, elf::kBindLocal, 0); });
    symbol(RefusalCode::bad_symbol, "outside", [](auto& b) { b.object.add_symbol("x", 1, 30, 8, elf::kBindLocal, 0); });
    symbol(RefusalCode::bad_symbol, "wraps",
           [](auto& b) { b.object.add_symbol("x", 1, ~u64{0}, 8, elf::kBindLocal, 0); });
    symbol(RefusalCode::bad_symbol, "binding", [](auto& b) { b.object.add_symbol("x", 1, 0, 8, 7, 0); });
    symbol(RefusalCode::bad_symbol, "name", [](auto& b) {
        u32 index = b.object.add_symbol("x", 1, 0, 8, elf::kBindLocal, 0);
        b.object.symbol(index).name = 1u << 24;
    });
    symbol(RefusalCode::bad_symbol, "long name", [](auto& b) {
        b.object.add_symbol(std::string(formats::kKlpMaxSymbolName + 1, 'x'), 1, 0, 8, elf::kBindLocal, 0);
    });
    symbol(RefusalCode::common_symbol, "common",
           [](auto& b) { b.object.add_symbol("x", elf::kSectionCommon, 8, 8, elf::kBindGlobal, kObject); });
    symbol(RefusalCode::tls_symbol, "tls",
           [](auto& b) { b.object.add_symbol("x", 1, 0, 8, elf::kBindLocal, elf::kSymbolTls); });
    symbol(RefusalCode::duplicate_symbol, "twice", [](auto& b) {
        b.add_function("same", elf::kBindGlobal);
        b.add_function("same", elf::kBindGlobal);
    });
    symbol(RefusalCode::redefined_symbol, "image's", [](auto& b) { b.add_function("f7", elf::kBindGlobal); });

    cases.push_back(spoiled(RefusalCode::bad_reference, "defined", [](PatchBuilder& builder, Fixture& at) {
        builder.references.push_back({builder.functions[0].symbol, at.image.function("f1").entry(), 0});
    }));
    cases.push_back(spoiled(RefusalCode::bad_reference, "outside", [](PatchBuilder& builder, Fixture& at) {
        builder.references.push_back({1000, at.image.function("f1").entry(), 0});
    }));
    cases.push_back(spoiled(RefusalCode::repeated_reference, "twice", [](PatchBuilder& builder, Fixture& at) {
        builder.add_reference("f1", at.image.function("f1").entry());
        builder.references.push_back(builder.references[0]);
    }));
    cases.push_back(spoiled(RefusalCode::unknown_reference, "name", [](PatchBuilder& builder, Fixture& at) {
        builder.add_reference("nobody", at.image.function("f1").entry());
    }));
    cases.push_back(spoiled(RefusalCode::unknown_reference, "address", [](PatchBuilder& builder, Fixture& at) {
        builder.add_reference("f1", at.image.function("f1").entry() + 16);
    }));
}

// ---- funcs and holds ------------------------------------------------------------------------------------------------

void add_function_cases(std::vector<Case>& cases) {
    using Function = PatchBuilder::Function;
    cases.push_back(spoiled(RefusalCode::no_funcs, "holds only", [](PatchBuilder& builder, Fixture&) {
        builder.functions[0].tag = formats::KlpTag::hold;
        builder.functions[0].symbol = 0;
    }));
    cases.push_back(spoiled(RefusalCode::repeated_function, "funcs", [](PatchBuilder& builder, Fixture& at) {
        builder.add_func(at.image.function("f0"), builder.add_function("another"));
    }));
    cases.push_back(spoiled(RefusalCode::repeated_function, "func and hold",
                            [](PatchBuilder& builder, Fixture& at) { builder.add_hold(at.image.function("f0")); }));
    cases.push_back(spoiled(RefusalCode::repeated_function, "holds", [](PatchBuilder& builder, Fixture& at) {
        builder.add_hold(at.image.function("f3"));
        builder.add_hold(at.image.function("f3"));
    }));
    cases.push_back(on_function(RefusalCode::not_an_entry, "inside", [](Function& f, Fixture&) { f.entry += 16; }));
    cases.push_back(
        on_function(RefusalCode::not_an_entry, "nowhere", [](Function& f, Fixture&) { f.entry = VirtAddr(0x1000); }));
    cases.push_back(on_function(RefusalCode::wrong_function, "name", [](Function& f, Fixture&) { f.name = "f1"; }));
    cases.push_back(
        on_function(RefusalCode::wrong_position, "position", [](Function& f, Fixture&) { f.position = 2; }));
    cases.push_back(on_function(RefusalCode::no_call_site, "assembly",
                                [](Function& f, Fixture& at) { take(f, at.image.function(SimImage::kAssembly)); }));
    cases.push_back(on_function(RefusalCode::on_no_patch_list, "writer",
                                [](Function& f, Fixture& at) { take(f, at.image.function(SimImage::kNoPatch)); }));
    cases.push_back(on_function(RefusalCode::endless, "loop",
                                [](Function& f, Fixture& at) { take(f, at.image.function(SimImage::kEndless)); }));
    cases.push_back(spoiled(RefusalCode::endless, "held loop", [](PatchBuilder& builder, Fixture& at) {
        builder.add_hold(at.image.function(SimImage::kEndless));
    }));
    cases.push_back(spoiled(RefusalCode::endless, "flag", [](PatchBuilder& builder, Fixture&) {
        builder.more_metadata = [](auto& writer) { writer.flags(formats::kKlpFlagEndless); };
    }));
    cases.push_back(on_function(RefusalCode::wrong_ranges, "a part too many",
                                [](Function& f, Fixture&) { f.parts.push_back(f.parts[0]); }));
    cases.push_back(on_function(RefusalCode::wrong_ranges, "a part forgotten", [](Function& f, Fixture& at) {
        take(f, at.image.function("f2"));
        f.parts.pop_back();
    }));
    cases.push_back(on_function(RefusalCode::wrong_ranges, "shorter",
                                [](Function& f, Fixture&) { f.parts[0].end = f.parts[0].end - 1; }));
    cases.push_back(on_function(RefusalCode::wrong_ranges, "elsewhere", [](Function& f, Fixture&) {
        f.parts[0] = AddressRange::of(f.parts[0].begin + 16, f.parts[0].size());
    }));
    cases.push_back({RefusalCode::wrong_bytes, "one byte", [](Fixture& at) {
                         PatchBuilder builder(at.image, "fix");
                         builder.replace("f0");
                         Bytes file = builder.build();
                         auto* byte = at.image.function("f0").entry().as<u8>() + 20;
                         *byte ^= 1;
                         auto result = at.registry.load(file, {}, {});
                         *byte ^= 1;
                         return result;
                     }});
    cases.push_back(
        on_function(RefusalCode::bad_new_function, "no symbol", [](Function& f, Fixture&) { f.symbol = 0; }));
    cases.push_back(
        on_function(RefusalCode::bad_new_function, "outside", [](Function& f, Fixture&) { f.symbol = 4000; }));
    cases.push_back(spoiled(RefusalCode::bad_new_function, "an object", [](PatchBuilder& builder, Fixture&) {
        builder.functions[0].symbol = builder.object.add_symbol("x", 1, 0, 8, elf::kBindLocal, 1);
    }));
    cases.push_back(spoiled(RefusalCode::bad_new_function, "no size", [](PatchBuilder& builder, Fixture&) {
        builder.functions[0].symbol = builder.object.add_symbol("x", 1, 0, 0, elf::kBindLocal, elf::kSymbolFunction);
    }));
    cases.push_back(spoiled(RefusalCode::bad_new_function, "in data", [](PatchBuilder& builder, Fixture&) {
        u32 data = add_raw(builder, ".data.x", elf::kSectionProgram, kWrite, 64);
        builder.functions[0].symbol =
            builder.object.add_symbol("x", static_cast<u16>(data), 0, 8, elf::kBindLocal, elf::kSymbolFunction);
    }));
    cases.push_back(spoiled(RefusalCode::repeated_new_function, "two old", [](PatchBuilder& builder, Fixture& at) {
        builder.add_func(at.image.function("f1"), builder.functions[0].symbol);
    }));
}

// ---- states ---------------------------------------------------------------------------------------------------------

void add_state_cases(std::vector<Case>& cases) {
    using formats::KlpCallback;
    using formats::KlpState;
    auto on_state = [&](RefusalCode code, std::string why, std::function<void(KlpState&, PatchBuilder&)> spoil) {
        cases.push_back(spoiled(code, std::move(why), [spoil](PatchBuilder& builder, Fixture&) {
            KlpState& state = builder.add_state(7);
            builder.add_callback(state, KlpCallback::pre_patch);
            spoil(state, builder);
        }));
    };
    on_state(RefusalCode::bad_record, "id 0", [](KlpState& state, PatchBuilder&) { state.id = 0; });
    on_state(RefusalCode::bad_record, "no time", [](KlpState& state, PatchBuilder&) { state.time_limit_ms = 0; });
    on_state(RefusalCode::bad_record, "too much time",
             [](KlpState& state, PatchBuilder&) { state.time_limit_ms = formats::kKlpMaxTimeLimitMs + 1; });
    on_state(RefusalCode::bad_record, "name", [](KlpState& state, PatchBuilder&) { state.name = "a b"; });
    on_state(RefusalCode::bad_record, "no name", [](KlpState& state, PatchBuilder&) { state.name = ""; });
    on_state(RefusalCode::unknown_flags, "state flags", [](KlpState& state, PatchBuilder&) { state.flags = 2; });
    cases.push_back(metadata(RefusalCode::bad_record, "state payload", [](Bytes& section) {
        append_record(section, static_cast<u16>(formats::KlpTag::state), formats::kKlpCritical, Bytes(44));
    }));
    cases.push_back(spoiled(RefusalCode::too_many_states, "bomb", [](PatchBuilder& builder, Fixture&) {
        for (u32 i = 0; i <= formats::kKlpMaxStates; ++i) builder.add_state(i + 1);
    }));
    on_state(RefusalCode::repeated_state, "twice",
             [](KlpState&, PatchBuilder& builder) { builder.add_state(7, 2).name = "another"; });
    on_state(RefusalCode::bad_callback, "outside", [](KlpState& state, PatchBuilder&) { state.callback[1] = 4000; });
    on_state(RefusalCode::bad_callback, "undefined",
             [](KlpState& state, PatchBuilder& builder) { state.callback[3] = builder.add_undefined("elsewhere"); });
    on_state(RefusalCode::bad_callback, "an object", [](KlpState& state, PatchBuilder& builder) {
        state.callback[4] = builder.object.add_symbol("x", 1, 0, 8, elf::kBindLocal, 1);
    });
    on_state(RefusalCode::bad_callback, "no size", [](KlpState& state, PatchBuilder& builder) {
        state.callback[2] = builder.object.add_symbol("x", 1, 0, 0, elf::kBindLocal, elf::kSymbolFunction);
    });
    on_state(RefusalCode::callback_replaces, "a new function",
             [](KlpState& state, PatchBuilder& builder) { state.callback[1] = builder.functions[0].symbol; });
}

Bytes stateful(Fixture& at, const std::string& name, const std::string& set, u32 version, u32 flags = 0) {
    PatchBuilder builder(at.image, name);
    builder.set = set;
    formats::KlpState& state = builder.add_state(7, version);
    state.flags = flags;
    builder.add_callback(state, formats::KlpCallback::pre_patch);
    return builder.build();
}

// A load whose callback is ended so; what became of it.
RefusalResult<void> outcome_of(Fixture& at, const CallbackEnd& end, bool take_back = false) {
    at.machine.hold_callbacks = true;
    u64 ticket = 0;
    must(at.registry.load(stateful(at, "fix", "fix", 1), {}, {}, &ticket));
    if (take_back) must(at.registry.unregister("fix"));
    at.machine.end_callback(end);
    at.machine.hold_callbacks = false;
    at.registry.complete();
    return at.registry.outcome(ticket).value_or(RefusalResult<void>());
}

void add_callback_cases(std::vector<Case>& cases) {
    cases.push_back({RefusalCode::callback_running, "load", [](Fixture& at) {
                         at.machine.hold_callbacks = true;
                         must(at.registry.load(stateful(at, "fix", "fix", 1), {}, {}));
                         auto result = load_simple(at, "fix-2", "f1");
                         at.machine.hold_callbacks = false;
                         at.machine.end_callback();
                         at.registry.complete();
                         return result;
                     }});
    cases.push_back({RefusalCode::not_on_probation, "commit", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         at.registry.complete();
                         return at.registry.commit("fix");
                     }});
    cases.push_back({RefusalCode::on_probation, "a further successor", [](Fixture& at) {
                         must(at.registry.load(stateful(at, "fix", "fix", 1), {}, {.probation_ns = 1'000'000'000}));
                         at.registry.complete();
                         return at.registry.load(stateful(at, "fix-2", "fix", 1), {}, {});
                     }});
    cases.push_back({RefusalCode::rollback_due, "commit", [](Fixture& at) {
                         must(at.registry.load(stateful(at, "fix", "fix", 1), {}, {.probation_ns = 1'000'000'000}));
                         at.registry.complete();
                         at.machine.unmoved = {1};
                         must(load_simple(at, "other", "f1"));
                         EXPECT_TRUE(at.registry.withdraw("fix", "simulated"));
                         auto result = at.registry.commit("fix");
                         at.machine.unmoved.clear();
                         at.registry.complete();
                         at.registry.complete();
                         return result;
                     }});
    cases.push_back({RefusalCode::state_taken, "another set", [](Fixture& at) {
                         must(at.registry.load(stateful(at, "fix", "fix", 1), {}, {}));
                         at.registry.complete();
                         return at.registry.load(stateful(at, "other", "other", 1), {}, {});
                     }});
    cases.push_back({RefusalCode::older_state, "successor", [](Fixture& at) {
                         must(at.registry.load(stateful(at, "fix", "fix", 2), {}, {}));
                         at.registry.complete();
                         return at.registry.load(stateful(at, "fix-2", "fix", 1), {}, {});
                     }});
    cases.push_back({RefusalCode::irreversible_state, "probation", [](Fixture& at) {
                         return at.registry.load(stateful(at, "fix", "fix", 1, formats::kKlpStateIrreversible), {},
                                                 {.probation_ns = 1});
                     }});
    cases.push_back(
        {RefusalCode::pre_patch_refused, "number", [](Fixture& at) { return outcome_of(at, {.value = 3}); }});
    cases.push_back(
        {RefusalCode::pre_patch_faulted, "fault", [](Fixture& at) { return outcome_of(at, {.faulted = true}); }});
    cases.push_back({RefusalCode::cancelled, "taken back", [](Fixture& at) { return outcome_of(at, {}, true); }});
}

// ---- relocations ----------------------------------------------------------------------------------------------------

void add_relocation_cases(std::vector<Case>& cases) {
    auto relocation = [&](RefusalCode code, std::string why, u64 offset, u32 type, i64 addend) {
        cases.push_back(spoiled(code, std::move(why), [=](PatchBuilder& builder, Fixture& at) {
            u32 target = builder.add_reference("f1", at.image.function("f1").entry());
            builder.object.add_relocation(1, offset, type, target, addend);
        }));
    };
    for (u32 type : {0u, 3u, 5u, 8u, 9u, 10u, 24u, 41u, 42u, 255u}) {
        relocation(RefusalCode::unknown_relocation, "type " + std::to_string(type), 8, type, 0);
    }
    relocation(RefusalCode::relocation_outside, "end", 30, elf::kRelocationPc32, -4);
    relocation(RefusalCode::relocation_outside, "wraps", ~u64{0}, elf::kRelocation64, 0);
    relocation(RefusalCode::relocation_overflow, "pc32", 8, elf::kRelocationPc32, i64{1} << 40);
    relocation(RefusalCode::relocation_overflow, "plt32", 8, elf::kRelocationPlt32, -(i64{1} << 40));
    relocation(RefusalCode::relocation_overflow, "32s", 8, elf::kRelocation32S, i64{1} << 32);
    cases.push_back(spoiled(RefusalCode::unresolved_symbol, "undefined", [](PatchBuilder& builder, Fixture&) {
        builder.object.add_relocation(1, 8, elf::kRelocationPlt32, builder.add_undefined("f1"), -4);
    }));
    cases.push_back(spoiled(RefusalCode::unresolved_symbol, "absolute", [](PatchBuilder& builder, Fixture&) {
        u32 symbol = builder.object.add_symbol("x", elf::kSectionAbsolute, 5, 0, elf::kBindLocal, 0);
        builder.object.add_relocation(1, 8, elf::kRelocation32S, symbol, 0);
    }));
    cases.push_back(spoiled(RefusalCode::unresolved_symbol, "none", [](PatchBuilder& builder, Fixture&) {
        builder.object.add_relocation(1, 8, elf::kRelocation32S, 0, 0);
    }));
    cases.push_back(spoiled(RefusalCode::unresolved_symbol, "outside", [](PatchBuilder& builder, Fixture&) {
        builder.object.add_relocation(1, 8, elf::kRelocation32S, 3000, 0);
    }));
    cases.push_back(spoiled(RefusalCode::unresolved_symbol, "not loaded", [](PatchBuilder& builder, Fixture&) {
        u32 debug = add_raw(builder, ".debug_info", elf::kSectionProgram, 0, 16);
        u32 symbol = builder.object.add_symbol("x", static_cast<u16>(debug), 0, 0, elf::kBindLocal, 0);
        builder.object.add_relocation(1, 8, elf::kRelocation32S, symbol, 0);
    }));

    auto table = [&](std::string why, std::function<void(elf::Section&)> spoil) {
        cases.push_back(sections(RefusalCode::bad_relocation_table, std::move(why), [spoil](auto& all) {
            for (auto& section : all) {
                if (section.type == elf::kSectionRela) return spoil(section);
            }
        }));
    };
    table("entry size", [](elf::Section& at) { at.entry_size = 16; });
    table("size", [](elf::Section& at) { at.size -= 1; });
    table("symbols", [](elf::Section& at) { at.link = 1; });
    table("target", [](elf::Section& at) { at.info = 60000; });
    table("kind", [](elf::Section& at) { at.type = elf::kSectionRel; });
    cases.push_back(spoiled(RefusalCode::bad_relocation_table, "zeros", [](PatchBuilder& builder, Fixture& at) {
        u32 zeros = add_raw(builder, ".bss.x", elf::kSectionZeros, kWrite, 0);
        builder.object.section(zeros).header.size = 64;
        u32 target = builder.add_reference("f1", at.image.function("f1").entry());
        builder.object.add_relocation(zeros, 8, elf::kRelocation64, target, 0);
    }));
    cases.push_back(spoiled(RefusalCode::too_many_relocations, "bomb", [](PatchBuilder& builder, Fixture& at) {
        u32 target = builder.add_reference("f1", at.image.function("f1").entry());
        for (u32 i = 0; i <= formats::kKlpMaxRelocations; ++i) {
            builder.object.add_relocation(1, 8, elf::kRelocationPlt32, target, -4);
        }
    }));
}

// ---- in memory, beside others, on the machine -----------------------------------------------------------------------

void add_other_cases(std::vector<Case>& cases) {
    cases.push_back(spoiled(RefusalCode::bad_frames, "uncovered function", [](PatchBuilder& builder, Fixture&) {
        u32 bare = add_raw(builder, ".text.bare", elf::kSectionProgram, elf::kFlagAlloc | elf::kFlagExecute, 16);
        builder.object.add_symbol("bare", static_cast<u16>(bare), 0, 16, elf::kBindLocal, elf::kSymbolFunction);
    }));
    cases.push_back(spoiled(RefusalCode::bad_constructor, "of the image", [](PatchBuilder& builder, Fixture& at) {
        u32 list = add_raw(builder, ".init_array", elf::kSectionInitArray, kWrite, 8);
        builder.object.add_relocation(list, 0, elf::kRelocation64,
                                      builder.add_reference("f1", at.image.function("f1").entry()), 0);
    }));
    cases.push_back(spoiled(RefusalCode::bad_constructor, "in the middle", [](PatchBuilder& builder, Fixture&) {
        u32 list = add_raw(builder, ".init_array", elf::kSectionInitArray, kWrite, 8);
        builder.object.add_relocation(list, 0, elf::kRelocation64, builder.add_function("init"), 8);
    }));
    cases.push_back({RefusalCode::bad_name, "slash", [](Fixture& at) {
                         PatchBuilder builder(at.image, "fix");
                         builder.replace("f0");
                         return at.registry.load(builder.build(), "a/b", {});
                     }});
    cases.push_back({RefusalCode::name_taken, "twice", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         at.registry.complete();
                         return load_simple(at, "fix", "f1");
                     }});
    cases.push_back({RefusalCode::function_taken, "replaced", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         at.registry.complete();
                         return load_simple(at, "fix-2", "f0");
                     }});
    cases.push_back({RefusalCode::function_taken, "held", [](Fixture& at) {
                         PatchBuilder builder(at.image, "fix");
                         builder.replace("f0");
                         builder.add_hold(at.image.function("f1"));
                         must(at.registry.load(builder.build(), {}, {}));
                         at.registry.complete();
                         return load_simple(at, "fix-2", "f1");
                     }});
    cases.push_back({RefusalCode::transition_running, "load", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         return load_simple(at, "fix-2", "f1");
                     }});
    cases.push_back({RefusalCode::no_memory, "none", [](Fixture& at) {
                         PatchBuilder builder(at.image, "fix");
                         builder.replace("f0");
                         Bytes file = builder.build();
                         at.machine.fail_after(1);
                         return at.registry.load(file, {}, {});
                     }});
    cases.push_back({RefusalCode::site_mismatch, "breakpoint", [](Fixture& at) {
                         at.machine.foreign_sites.insert(at.image.function("f0").entry());
                         return load_simple(at, "fix", "f0");
                     }});
    cases.push_back(
        {RefusalCode::unknown_patch, "unregister", [](Fixture& at) { return at.registry.unregister("nobody"); }});
    cases.push_back({RefusalCode::unknown_patch, "reverse", [](Fixture& at) { return at.registry.reverse("nobody"); }});
    cases.push_back({RefusalCode::already_leaving, "twice", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         at.registry.complete();
                         must(at.registry.unregister("fix"));
                         return at.registry.unregister("fix");
                     }});
    cases.push_back({RefusalCode::not_in_transition, "settled", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         at.registry.complete();
                         return at.registry.reverse("fix");
                     }});
    cases.push_back({RefusalCode::too_many_patches, "bomb", [](Fixture& at) {
                         for (usize i = 0; i < kMaxPatches; ++i) {
                             must(load_simple(at, "fix-" + std::to_string(i), "f" + std::to_string(i)));
                             at.registry.complete();
                         }
                         return load_simple(at, "one-more", "f200");
                     }});
}

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    add_envelope_cases(cases);
    add_signature_cases(cases);
    add_version_cases(cases);
    add_object_cases(cases);
    add_metadata_cases(cases);
    add_section_cases(cases);
    add_symbol_cases(cases);
    add_state_cases(cases);
    add_callback_cases(cases);
    add_function_cases(cases);
    add_relocation_cases(cases);
    add_other_cases(cases);
    return cases;
}

TEST(PatchRefusal, EachCheckRefusesAloneAndLeavesNoTrace) {
    std::set<RefusalCode> seen;
    for (auto& test : all_cases()) {
        SimImage image(256);
        sim::StillMachine machine(image);
        auto registry = Registry::create(machine);
        Fixture at{image, machine, *registry};
        auto result = test.request(at);
        ASSERT_FALSE(result.has_value()) << name_of(test.code) << ": " << test.why << " was accepted";
        Text<512> line;
        render(result.error(), line);
        EXPECT_EQ(name_of(result.error().code), name_of(test.code)) << test.why << ": " << line.view();
        EXPECT_FALSE(line.truncated());
        EXPECT_EQ(line.view().find('\n'), std::string_view::npos);
        seen.insert(test.code);

        unload_everything(*registry);
        registry.reset();
        EXPECT_EQ(machine.ledger().records, 0u) << name_of(test.code) << ": " << test.why;
        EXPECT_EQ(machine.ledger().patch_bytes, 0u) << name_of(test.code) << ": " << test.why;
        EXPECT_EQ(machine.ledger().trampolines, 0u) << name_of(test.code) << ": " << test.why;
        for (auto& violation : machine.violations) ADD_FAILURE() << test.why << ": " << violation;
    }
    for (usize i = 0; i < kRefusalCodeCount; ++i) {
        auto code = static_cast<RefusalCode>(i);
        EXPECT_TRUE(seen.contains(code)) << "no test refuses with " << name_of(code);
    }
}

// The base of all cases is right: nothing else in it would be refused.
TEST(PatchRefusal, TheUnspoiledPatchLoads) {
    SimImage image(256);
    sim::StillMachine machine(image);
    auto registry = Registry::create(machine);
    PatchBuilder builder(image, "fix");
    builder.replace("f0");
    EXPECT_TRUE(registry->load(builder.build(), {}, {}).has_value());
    EXPECT_EQ(registry->complete(), Completion::done);
    unload_everything(*registry);
}

}  // namespace
}  // namespace graft::patch
