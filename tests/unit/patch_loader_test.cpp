// What a patch looks like once it lies in memory.
#include <cstring>

#include "patch/destructors.h"
#include "tests/unit/patch_fixture.h"

namespace graft::patch {
namespace {

using sim::Bytes;
using sim::PatchBuilder;
using sim::SimImage;

constexpr u64 kWrite = elf::kFlagAlloc | elf::kFlagWrite;

class PatchLoader : public PatchTest {
protected:
    PatchLoader() : builder(image, "fix") { replacement = builder.replace("f0"); }

    VirtAddr entry(std::string_view name) const { return image.function(name).entry(); }
    PatchView view() { return find_view(*registry, "fix").value_or(PatchView{}); }
    // The address of a function of the loaded patch.
    VirtAddr symbol(std::string_view name) {
        auto* code = machine.code_at(view().text.begin);
        for (auto& symbol : code->symbols) {
            if (symbol.name == name) return symbol.address;
        }
        ADD_FAILURE() << name << " isn't registered";
        return {};
    }
    template <typename T>
    static T read(VirtAddr at) {
        T value;
        std::memcpy(&value, at.as<>(), sizeof(value));
        return value;
    }
    // Where the call at this offset of a function leads.
    static VirtAddr call_target(VirtAddr function, u64 offset) {
        VirtAddr next = function + offset + 5;
        return VirtAddr(next.value + static_cast<u64>(i64{read<i32>(function + offset + 1)}));
    }

    PatchBuilder builder;
    u32 replacement;
};

TEST_F(PatchLoader, ComputesEachRelocationType) {
    u32 variable = builder.add_reference(SimImage::kLocalObject, entry("f0"));  // spoiled below
    builder.references.back().address = [&] {
        VirtAddr at = image.range().begin;
        while (!image.has_symbol(SimImage::kLocalObject, at)) at += 16;
        return at;
    }();
    VirtAddr place = builder.references.back().address;
    u32 helper = builder.add_function("helper");
    builder.add_call(replacement, 6, helper);
    u32 data = builder.object.add_section(".data.x", elf::kSectionProgram, kWrite, Bytes(32), 64);
    builder.object.add_relocation(data, 0, elf::kRelocation64, variable, 8);
    builder.object.add_relocation(data, 8, elf::kRelocation32S, variable, -4);
    builder.object.add_relocation(data, 16, elf::kRelocationPc32, variable, 0);
    load_fully(builder.build());

    VirtAddr base = view().data.begin;
    EXPECT_EQ(read<u64>(base), place.value + 8);
    EXPECT_EQ(read<i32>(base + 8), static_cast<i32>(place.value - 4));
    EXPECT_EQ(read<i32>(base + 16), static_cast<i32>(place.value - (base.value + 16)));
    EXPECT_EQ(call_target(symbol("new_f0"), 6), symbol("helper"));
}

TEST_F(PatchLoader, TheAddressOfAReplacedFunctionIsItsOldEntry) {
    u32 caller = builder.add_function("caller");
    u32 section = builder.section_of(replacement);
    u32 section_symbol = builder.object.add_symbol("", static_cast<u16>(section), 0, 0, elf::kBindLocal, 3);
    builder.add_call(caller, 6, replacement);
    builder.add_call(caller, 12, section_symbol);
    u32 data = builder.object.add_section(".data.x", elf::kSectionProgram, kWrite, Bytes(40), 8);
    builder.object.add_relocation(data, 0, elf::kRelocation64, replacement, 0);
    builder.object.add_relocation(data, 8, elf::kRelocation64, section_symbol, 0);
    builder.object.add_relocation(data, 16, elf::kRelocation32S, section_symbol, 0);
    builder.object.add_relocation(data, 24, elf::kRelocation64, section_symbol, 8);  // inside: a jump table's
    u32 old = builder.add_reference("f0", entry("f0"));
    builder.object.add_relocation(data, 32, elf::kRelocation64, old, 5);  // original<f0>
    load_fully(builder.build());

    VirtAddr base = view().data.begin;
    EXPECT_EQ(call_target(symbol("caller"), 6), entry("f0"));
    EXPECT_EQ(call_target(symbol("caller"), 12), entry("f0"));
    EXPECT_EQ(read<u64>(base), entry("f0").value);
    EXPECT_EQ(read<u64>(base + 8), entry("f0").value);
    EXPECT_EQ(read<i32>(base + 16), static_cast<i32>(entry("f0").value));
    EXPECT_EQ(read<u64>(base + 24), symbol("new_f0").value + 8);
    EXPECT_EQ(read<u64>(base + 32), entry("f0").value + kCallSiteSize);
    EXPECT_EQ(machine.site(entry("f0")), symbol("new_f0"));
}

TEST_F(PatchLoader, WhatTheImageDefinesIsNeverDuplicated) {
    u32 copy = builder.add_function(SimImage::kWeak, elf::kBindWeak);
    u32 unique = builder.add_function("f9", elf::kBindUnique);
    u32 own = builder.add_function("only_here", elf::kBindWeak);
    builder.add_call(replacement, 6, copy);
    builder.add_call(replacement, 12, unique);
    builder.add_call(replacement, 18, own);
    load_fully(builder.build());

    VirtAddr code = symbol("new_f0");
    EXPECT_EQ(call_target(code, 6), entry(SimImage::kWeak));
    EXPECT_EQ(call_target(code, 12), entry("f9"));
    EXPECT_EQ(call_target(code, 18), symbol("only_here"));
}

TEST_F(PatchLoader, ANewFunctionMayBeCalledLikeTheOldOne) {
    u32 same = builder.add_function("f5", elf::kBindGlobal);
    builder.add_func(image.function("f5"), same);
    load_fully(builder.build());
    EXPECT_EQ(machine.site(entry("f5")), symbol("f5"));
}

TEST_F(PatchLoader, AnAliasIsTheSameFunction) {
    builder.add_func(image.function(SimImage::kAliased), builder.add_function("new_alias"));
    builder.functions.back().name = SimImage::kAlias;
    load_fully(builder.build());
    EXPECT_EQ(machine.site(entry(SimImage::kAliased)), symbol("new_alias"));
}

TEST_F(PatchLoader, KeepsAlignmentAndZeros) {
    u32 odd = builder.object.add_section(".data.odd", elf::kSectionProgram, kWrite, Bytes(3, std::byte{7}), 1);
    u32 wide = builder.object.add_section(".data.wide", elf::kSectionProgram, kWrite, Bytes(8), 256);
    u32 zeros = builder.object.add_section(".bss.zeros", elf::kSectionZeros, kWrite, {}, 32);
    builder.object.section(zeros).header.size = 100;
    u32 empty = builder.object.add_section(".data.empty", elf::kSectionProgram, kWrite, {}, 8);
    u32 pointers = builder.object.add_section(".data.pointers", elf::kSectionProgram, kWrite, Bytes(32), 8);
    u64 at = 0;
    for (u32 section : {odd, wide, zeros, empty}) {
        u32 symbol = builder.object.add_symbol("", static_cast<u16>(section), 0, 0, elf::kBindLocal, 3);
        builder.object.add_relocation(pointers, at, elf::kRelocation64, symbol, 0);
        at += 8;
    }
    load_fully(builder.build());

    AddressRange data = view().data;
    VirtAddr table = data.begin;
    while (read<u64>(table) != data.begin.value) table += 8;  // the first pointer is to the first section
    VirtAddr wide_at(read<u64>(table + 8));
    VirtAddr zeros_at(read<u64>(table + 16));
    EXPECT_TRUE(wide_at.is_aligned(256));
    EXPECT_TRUE(zeros_at.is_aligned(32));
    EXPECT_TRUE(data.contains(AddressRange::of(zeros_at, 100)));
    for (u64 i = 0; i < 100; ++i) EXPECT_EQ(read<u8>(zeros_at + i), 0);
    EXPECT_EQ(read<u8>(data.begin + 2), 7);
}

TEST_F(PatchLoader, RunsConstructorsBeforeAnyCallSiteIsLive) {
    u32 first = builder.add_function("init_first");
    u32 second = builder.add_function("init_second");
    u32 list = builder.object.add_section(".init_array", elf::kSectionInitArray, kWrite, Bytes(16), 8);
    builder.object.add_relocation(list, 0, elf::kRelocation64, first, 0);
    builder.object.add_relocation(list, 8, elf::kRelocation64, second, 0);
    Bytes file = builder.build();
    machine.foreign_sites.insert(entry("f0"));  // so that the call sites are never written
    ASSERT_FALSE(load(file).has_value());
    ASSERT_EQ(machine.calls.size(), 2u);
    EXPECT_EQ(machine.ledger().patch_bytes, 0u);

    machine.foreign_sites.clear();
    machine.calls.clear();
    load_fully(file);
    ASSERT_EQ(machine.calls.size(), 2u);
    EXPECT_EQ(machine.calls[0].function, symbol("init_first"));
    EXPECT_EQ(machine.calls[1].function, symbol("init_second"));
}

TEST_F(PatchLoader, RunsRegisteredDestructorsOnceAtTheEnd) {
    u32 destructor = builder.add_function("destroy");
    u32 handle = builder.add_undefined(std::string(kHandleSymbol));
    u32 atexit = builder.add_undefined(std::string(kAtexitSymbol));
    builder.add_call(replacement, 6, atexit);
    builder.add_call(replacement, 12, atexit);
    u32 data = builder.object.add_section(".data.x", elf::kSectionProgram, kWrite, Bytes(8), 8);
    builder.object.add_relocation(data, 0, elf::kRelocation64, handle, 0);
    (void)destructor;
    load_fully(builder.build());
    EXPECT_EQ(call_target(symbol("new_f0"), 6), entry(kPatchAtexitSymbol));

    auto* table = VirtAddr(read<u64>(view().data.begin)).as<DestructorTable>();
    EXPECT_EQ(table->capacity, 2u);
    auto* function = reinterpret_cast<void (*)(void*)>(symbol("destroy").value);
    int objects[3];
    EXPECT_EQ(graft_patch_atexit(function, &objects[0], table), 0);
    EXPECT_EQ(graft_patch_atexit(function, &objects[1], table), 0);
    EXPECT_EQ(graft_patch_atexit(function, &objects[2], table), 1);  // no room
    VirtAddr destroy = symbol("destroy");
    unload_fully("fix");
    ASSERT_EQ(machine.calls.size(), 2u);
    EXPECT_EQ(machine.calls[0].function, destroy);
    EXPECT_EQ(machine.calls[0].argument, reinterpret_cast<u64>(&objects[1]));
    EXPECT_EQ(machine.calls[1].argument, reinterpret_cast<u64>(&objects[0]));
}

TEST_F(PatchLoader, RegistersDestructorsOfTheImagesObjectsWithTheImage) {
    u32 own = builder.add_undefined(std::string(kAtexitSymbol));
    u32 images = builder.add_reference(std::string(kAtexitSymbol), entry(kAtexitSymbol));
    builder.add_call(replacement, 6, own);
    builder.add_call(replacement, 12, images);
    load_fully(builder.build());
    EXPECT_EQ(call_target(symbol("new_f0"), 6), entry(kPatchAtexitSymbol));
    EXPECT_EQ(call_target(symbol("new_f0"), 12), entry(kAtexitSymbol));
}

TEST_F(PatchLoader, SkipsWhatIsNotLoaded) {
    u32 debug = builder.object.add_section(".debug_info", elf::kSectionProgram, 0, Bytes(64), 1);
    builder.object.add_relocation(debug, 0, 10, builder.add_undefined("nobody"), 0);  // a type that text may not have
    builder.object.add_section(".note.x", elf::kSectionNote, elf::kFlagAlloc, Bytes(16), 4);
    builder.object.add_section(".comment", elf::kSectionProgram, elf::kFlagMerge, Bytes(16), 1);
    builder.object.add_section(".unknown_but_empty", elf::kSectionProgram, elf::kFlagAlloc, {}, 1);
    builder.more_metadata = [](auto& writer) { writer.text(static_cast<formats::KlpTag>(77), "from a later version"); };
    load_fully(builder.build());
}

TEST_F(PatchLoader, EndlessFunctionsNeedTheOption) {
    builder.add_hold(image.function(SimImage::kEndless));
    Bytes file = builder.build();
    EXPECT_FALSE(load(file).has_value());
    EXPECT_TRUE(load(file, {}, {.allow_endless = true}).has_value());
    EXPECT_TRUE(view().endless);
}

// Every truncation and every flipped byte is refused or harmless; sanitizers watch.
TEST_F(PatchLoader, SurvivesDamage) {
    builder.add_hold(image.function("f2"));
    u32 helper = builder.add_function("helper");
    builder.add_call(replacement, 6, helper);
    Bytes file = builder.build();
    auto before = machine.ledger();
    for (usize size = 0; size < file.size(); size += 3) {
        EXPECT_FALSE(load(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size))).has_value());
        EXPECT_EQ(machine.ledger(), before);
    }
    for (usize i = 0; i < file.size(); ++i) {
        for (u8 flip : {0x01, 0x80, 0xff}) {
            Bytes damaged = file;
            damaged[i] ^= std::byte{flip};
            if (!load(damaged).has_value()) {
                ASSERT_EQ(machine.ledger(), before) << "byte " << i;
                continue;
            }
            registry->complete();
            unload_everything(*registry);
            ASSERT_EQ(machine.ledger(), before) << "byte " << i;
        }
    }
}

}  // namespace
}  // namespace graft::patch
