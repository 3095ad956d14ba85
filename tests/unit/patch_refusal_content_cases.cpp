// Refusals of a patch for what it contains: sections, symbols, functions, relocations.
#include "tests/unit/patch_refusal_cases.h"

namespace graft::patch::refusals {

// ---- sections -------------------------------------------------------------------------------------------------------

namespace {

Case with_section(RefusalCode code, std::string name, u32 type, u64 flags, u64 size, u64 alignment = 16) {
    std::string why = "section " + name;
    return spoiled(code, why,
                   [=](PatchBuilder& builder, Fixture&) { add_raw(builder, name, type, flags, size, alignment); });
}

Case sections(RefusalCode code, std::string why, std::function<void(std::vector<elf::Section>&)> spoil) {
    return spoiled(code, std::move(why),
                   [spoil](PatchBuilder& builder, Fixture&) { builder.object.spoil_sections = spoil; });
}

}  // namespace

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
    cases.push_back(on_function(RefusalCode::boot_only, "changed",
                                [](Function& f, Fixture& at) { take(f, at.image.function(SimImage::kBootOnly)); }));
    cases.push_back(spoiled(RefusalCode::boot_only, "held", [](PatchBuilder& builder, Fixture& at) {
        builder.add_hold(at.image.function(SimImage::kBootOnly));
    }));
    cases.push_back(spoiled(RefusalCode::boot_only, "referred to", [](PatchBuilder& builder, Fixture& at) {
        builder.add_reference(SimImage::kBootOnly, at.image.function(SimImage::kBootOnly).entry());
    }));
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

}  // namespace graft::patch::refusals
