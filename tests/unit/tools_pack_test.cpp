// mkpatch's core: an object and an image in memory, each refusal triggered alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>

#include "formats/klp.h"
#include "formats/klp_declare.h"
#include "tools/patch/pack.h"

namespace graft::tools {
namespace {

using formats::Declaration;
using formats::DeclarationKind;
using formats::ImageSymbol;
using formats::KlpTag;
using formats::SymbolType;

constexpr u64 kBase = 0xffffffff80200000;
constexpr u64 kTextSize = 0x400;
constexpr u8 kPatchable = formats::kSymbolHasSite | formats::kSymbolHasReturn;

template <typename T>
void put(std::vector<std::byte>& bytes, usize at, const T& value) {
    if (bytes.size() < at + sizeof(value)) bytes.resize(at + sizeof(value));
    std::memcpy(bytes.data() + at, &value, sizeof(value));
}

struct TestSymbol {
    std::string name;
    u32 offset;
    u32 size;
    SymbolType type;
    u8 flags;
    u32 parent = ~0u;
};

// Sorted by offset. Two static functions share the name "twin"; "cold" is a part of "split".
const std::vector<TestSymbol> kSymbols = {
    {"price", 0x00, 0x20, SymbolType::function, kPatchable},
    {"total", 0x20, 0x20, SymbolType::function, kPatchable},
    {"twin", 0x40, 0x10, SymbolType::function, kPatchable | formats::kSymbolLocal},
    {"twin", 0x50, 0x10, SymbolType::function, kPatchable | formats::kSymbolLocal},
    {"assembly", 0x60, 0x10, SymbolType::function, formats::kSymbolAssembly | formats::kSymbolHasReturn},
    {"writer", 0x70, 0x10, SymbolType::function, formats::kSymbolNoPatch | formats::kSymbolHasReturn},
    {"endless", 0x80, 0x10, SymbolType::function, formats::kSymbolHasSite},
    {"split", 0x90, 0x10, SymbolType::function, kPatchable},
    {"cold", 0xa0, 0x08, SymbolType::function, formats::kSymbolChild, 7},
    {"sizeless", 0xb0, 0x00, SymbolType::function, kPatchable},
    {"counter", 0xc0, 0x08, SymbolType::object, 0},
    {"mixed", 0xd0, 0x08, SymbolType::object, formats::kSymbolLocal},
    {"mixed", 0xe0, 0x08, SymbolType::object, 0},
    {"starter", 0xf0, 0x08, SymbolType::function, formats::kSymbolInitText | formats::kSymbolHasReturn},
};

std::vector<std::byte> make_tables() {
    std::string strings(1, '\0');
    std::vector<std::byte> bytes;
    formats::ImageTablesHeader header{};
    header.magic = formats::kImageTablesMagic;
    header.version = formats::kImageTablesVersion;
    header.symbol_count = static_cast<u32>(kSymbols.size());
    header.image_base = kBase;
    header.text_end = kTextSize;
    header.symbols_at = sizeof(header);
    header.child_count = 1;
    header.build_id.fill(0xab);
    std::vector<u32> order;
    for (u32 i = 0; i < kSymbols.size(); ++i) {
        const TestSymbol& symbol = kSymbols[i];
        ImageSymbol encoded{};
        encoded.offset = symbol.offset;
        encoded.size = symbol.size;
        encoded.name = encoded.display = static_cast<u32>(strings.size());
        encoded.parent = symbol.parent == ~0u ? i : symbol.parent;
        encoded.position = 1;
        for (u32 j = 0; j < i; ++j)
            encoded.position = static_cast<u16>(encoded.position + (kSymbols[j].name == symbol.name));
        encoded.type = symbol.type;
        encoded.flags = symbol.flags;
        put(bytes, header.symbols_at + i * sizeof(encoded), encoded);
        strings += symbol.name + '\0';
        order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(),
                     [](u32 left, u32 right) { return kSymbols[left].name < kSymbols[right].name; });
    header.name_order_at = static_cast<u32>(bytes.size());
    for (u32 index : order) put(bytes, bytes.size(), index);
    header.frames_at = header.strings_at = static_cast<u32>(bytes.size());
    header.strings_size = static_cast<u32>(strings.size());
    for (char character : strings) put(bytes, bytes.size(), character);
    header.total_size = static_cast<u32>(bytes.size());
    put(bytes, 0, header);
    return bytes;
}

// An ELF image with one segment and the tables' section.
std::vector<std::byte> make_image_file(const std::vector<std::byte>& tables,
                                       const char* section_name = ".graft_tables") {
    constexpr u64 kTextAt = 0x100;
    std::vector<std::byte> file;
    for (u64 i = 0; i < kTextSize; ++i) put(file, kTextAt + i, static_cast<u8>(i * 7));
    u64 tables_at = file.size();
    file.insert(file.end(), tables.begin(), tables.end());
    u64 names_at = file.size();
    std::string names = std::string(1, '\0') + section_name + '\0' + ".shstrtab" + '\0';
    for (char character : names) put(file, file.size(), character);
    file.resize((file.size() + 7) / 8 * 8);
    u64 headers_at = file.size();
    Elf64_Shdr headers[3]{};
    headers[1] = {1, SHT_PROGBITS, SHF_ALLOC, kBase + 0x1000, tables_at, tables.size(), 0, 0, 16, 0};
    headers[2] = {static_cast<u32>(names.size() - 10), SHT_STRTAB, 0, 0, names_at, names.size(), 0, 0, 1, 0};
    put(file, headers_at, headers);
    put(file, sizeof(Elf64_Ehdr), Elf64_Phdr{PT_LOAD, PF_R | PF_X, kTextAt, kBase, 0x200000, kTextSize, kTextSize, 16});
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_phoff = sizeof(header);
    header.e_shoff = headers_at;
    header.e_ehsize = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 1;
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 3;
    header.e_shstrndx = 2;
    put(file, 0, header);
    return file;
}

const Image& image() {
    static const Image opened = *Image::open(make_image_file(make_tables()), "test.elf");
    return opened;
}

// An object with one new function `fixed` in a text section, a description of its frame, and declarations.
class TestObject {
public:
    TestObject() {
        object.path = "test.o";
        object.sections.emplace_back();
        object.symbols.emplace_back();
        add_section(".text.fixed", SHF_ALLOC | SHF_EXECINSTR, {0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3});  // site; ret
        fixed = add_symbol("fixed", 1, STB_LOCAL, STT_FUNC, 6);
        add_section(".eh_frame", SHF_ALLOC, std::vector<u8>(24));
        object.sections.back().relocations.push_back({8, R_X86_64_PC32, fixed, 0});
        declarations = static_cast<u32>(object.sections.size());
        add_section(formats::kDeclarationSection, SHF_ALLOC, {});
        add_section(".debug_info", 0, std::vector<u8>(100));
        add_section(".comment", 0, {'G', 'C', 'C', 0});
    }

    void add_section(const std::string& name, u64 flags, const std::vector<u8>& contents) {
        ObjectSection section;
        section.name = name;
        section.type = SHT_PROGBITS;
        section.flags = flags;
        section.size = contents.size();
        section.alignment = 16;
        for (u8 byte : contents) section.contents.push_back(static_cast<std::byte>(byte));
        object.sections.push_back(section);
    }

    u32 add_symbol(const std::string& name, u32 section, u8 binding, u8 type, u64 size = 0) {
        object.symbols.push_back({name, 0, size, binding, type, 0, section});
        return static_cast<u32>(object.symbols.size() - 1);
    }
    u32 undefined(const std::string& name) { return add_symbol(name, SHN_UNDEF, STB_GLOBAL, STT_NOTYPE); }

    void declare(DeclarationKind kind, const std::string& text, u32 old_symbol = 0, u32 new_symbol = 0,
                 u32 position = 0) {
        ObjectSection& section = object.sections[declarations];
        Declaration declaration;
        declaration.kind = kind;
        declaration.position = position;
        std::memcpy(declaration.text, text.data(), text.size());
        u64 at = section.contents.size();
        put(section.contents, at, declaration);
        section.size = section.contents.size();
        if (old_symbol != 0)
            section.relocations.push_back({at + offsetof(Declaration, old_function), R_X86_64_64, old_symbol, 0});
        if (new_symbol != 0)
            section.relocations.push_back({at + offsetof(Declaration, new_function), R_X86_64_64, new_symbol, 0});
    }
    // Callbacks by their symbols, as in the record; 0: none.
    void declare_state(const std::string& name, const formats::StateDeclaration& state,
                       const std::array<u32, formats::kKlpCallbackCount>& callbacks = {}, u32 order = 0) {
        ObjectSection& section = object.sections[declarations];
        Declaration declaration;
        declaration.kind = DeclarationKind::state;
        declaration.state = state;
        declaration.order = order;
        std::memcpy(declaration.text, name.data(), name.size());
        u64 at = section.contents.size();
        put(section.contents, at, declaration);
        section.size = section.contents.size();
        u64 first = at + offsetof(Declaration, state) + offsetof(formats::StateDeclaration, pre_patch);
        for (usize i = 0; i < callbacks.size(); ++i)
            if (callbacks[i] != 0) section.relocations.push_back({first + 8 * i, R_X86_64_64, callbacks[i], 0});
    }
    u32 add_function(const std::string& name) {
        add_section(".text." + name, SHF_ALLOC | SHF_EXECINSTR, {0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3});
        u32 section = static_cast<u32>(object.sections.size() - 1);
        return add_symbol(name, section, STB_LOCAL, STT_FUNC, 6);
    }
    void declare_name() { declare(DeclarationKind::name, "fix"); }
    void declare_replace(const std::string& old_name) {
        declare(DeclarationKind::replace, "", undefined(old_name), fixed);
    }

    PackResult<std::vector<std::byte>> packed(const PackOptions& options = {}) const {
        return pack(object, image(), options);
    }
    std::string refusal(const PackOptions& options = {}) const {
        auto result = packed(options);
        return result ? "" : result.error().text;
    }

    Object object;
    u32 fixed = 0;
    u32 declarations = 0;
};

TestObject good() {
    TestObject test;
    test.declare_name();
    test.declare_replace("price");
    return test;
}

// Every complaint names the thing and the reason.
void expect_refusal(const std::function<void(TestObject&)>& change, const std::string& thing, const std::string& reason,
                    const PackOptions& options = {}) {
    TestObject test = good();
    change(test);
    std::string text = test.refusal(options);
    EXPECT_NE(text.find(thing), std::string::npos) << text;
    EXPECT_NE(text.find(reason), std::string::npos) << text;
}

struct Parsed {
    explicit Parsed(const std::vector<std::byte>& bytes) : file(bytes) {
        auto envelope = formats::open_klp(file);
        EXPECT_TRUE(envelope.has_value());
        object = *read_object(envelope->object, "made.klp");
        metadata = *formats::KlpMetadata::open(object.section(formats::kKlpSection)->contents);
    }
    std::vector<std::byte> file;
    Object object;
    std::optional<formats::KlpMetadata> metadata;
};

TEST(Pack, MakesAPatchThatReadersUnderstand) {
    TestObject test = good();
    test.declare(DeclarationKind::set, "fixes");
    test.declare(DeclarationKind::hold, "", test.undefined("total"));
    u32 counter = test.undefined("counter");
    test.object.sections[1].relocations.push_back({1, R_X86_64_PC32, counter, -4});
    auto bytes = test.packed();
    ASSERT_TRUE(bytes.has_value()) << test.refusal();
    Parsed made(*bytes);

    EXPECT_EQ(made.metadata->name(), "fix");
    EXPECT_EQ(made.metadata->set(), "fixes");
    EXPECT_EQ(made.metadata->built_with(), "GCC");
    EXPECT_EQ(made.metadata->header().build_id[0], 0xab);
    EXPECT_FALSE(made.metadata->is_endless());
    EXPECT_EQ(made.object.section(".debug_info"), nullptr);
    EXPECT_EQ(made.object.section(formats::kDeclarationSection), nullptr);

    usize cursor = 0;
    auto func = made.metadata->next_function(cursor);
    ASSERT_TRUE(func);
    EXPECT_EQ(func->name, "price");
    EXPECT_EQ(func->entry.value, kBase);
    EXPECT_EQ(func->position, 1u);
    EXPECT_EQ(made.object.symbols[func->symbol].name, "fixed");
    Reader ranges(func->encoded_ranges);
    auto range = formats::KlpFunction::next_range(ranges);
    ASSERT_EQ(range.bytes.size(), 0x20u);
    EXPECT_EQ(range.bytes[3], std::byte{21});
    auto hold = made.metadata->next_function(cursor);
    ASSERT_TRUE(hold);
    EXPECT_EQ(hold->tag, KlpTag::hold);
    EXPECT_EQ(hold->entry.value, kBase + 0x20);

    cursor = 0;
    auto reference = made.metadata->next_reference(cursor);
    ASSERT_TRUE(reference);
    EXPECT_EQ(made.object.symbols[reference->symbol].name, "counter");
    EXPECT_EQ(reference->address.value, kBase + 0xc0);
    EXPECT_FALSE(made.metadata->next_reference(cursor));  // old functions need none unless the code refers to them
    EXPECT_EQ(made.object.section(".text.fixed")->relocations.at(0).symbol, reference->symbol);
}

TEST(Pack, SameInputGivesSameBytes) {
    EXPECT_EQ(*good().packed(), *good().packed());
}

TEST(Pack, OptionsTakeThePlaceOfDeclarations) {
    PackOptions options;
    options.name = "other";
    options.version = "2";
    Parsed made(*good().packed(options));
    EXPECT_EQ(made.metadata->name(), "other");
    EXPECT_EQ(made.metadata->version(), "2");
}

TEST(Pack, SplitFunctionCarriesAllItsParts) {
    TestObject test;
    test.declare_name();
    test.declare_replace("split");
    Parsed made(*test.packed());
    usize cursor = 0;
    EXPECT_EQ(made.metadata->next_function(cursor)->range_count, 2u);
}

TEST(Pack, PositionPicksOneOfTwins) {
    TestObject test;
    test.declare_name();
    test.declare(DeclarationKind::replace_named, "twin", 0, test.fixed, 2);
    Parsed made(*test.packed());
    usize cursor = 0;
    EXPECT_EQ(made.metadata->next_function(cursor)->entry.value, kBase + 0x50);
}

TEST(Pack, GlobalComesBeforeStaticOfTheSameName) {
    TestObject test = good();
    test.object.sections[1].relocations.push_back({1, R_X86_64_PC32, test.undefined("mixed"), -4});
    Parsed made(*test.packed());
    usize cursor = 0;
    EXPECT_EQ(made.metadata->next_reference(cursor)->address.value, kBase + 0xe0);

    PackOptions options;
    options.positions["mixed"] = 1;
    Parsed chosen(*test.packed(options));
    cursor = 0;
    EXPECT_EQ(chosen.metadata->next_reference(cursor)->address.value, kBase + 0xd0);
}

TEST(Pack, FunctionsWithoutAWayOutAreFlagged) {
    TestObject old_one;
    old_one.declare_name();
    old_one.declare_replace("endless");
    EXPECT_TRUE(Parsed(*old_one.packed()).metadata->is_endless());

    TestObject new_one = good();
    new_one.object.sections[1].contents = {std::byte{0xeb}, std::byte{0xfe}, std::byte{0x90},
                                           std::byte{0x90}, std::byte{0x90}, std::byte{0x90}};
    EXPECT_TRUE(Parsed(*new_one.packed()).metadata->is_endless());
}

TEST(Pack, AStateCarriesItsCallbacks) {
    TestObject test = good();
    u32 before = test.add_function("make_table");
    u32 after = test.add_function("drop_table");
    test.declare_state("limits", {.id = 77, .version = 4, .irreversible = 1, .time_limit_ms = 9},
                       {before, 0, 0, after});
    test.declare_state("bare", {.id = 78});
    Parsed parsed(*test.packed());
    EXPECT_EQ(parsed.metadata->state_count(), 2u);
    usize cursor = 0;
    auto state = parsed.metadata->next_state(cursor);
    ASSERT_TRUE(state.has_value());
    EXPECT_EQ(state->name, "limits");
    EXPECT_EQ(state->id, 77u);
    EXPECT_EQ(state->version, 4u);
    EXPECT_TRUE(state->is_irreversible());
    EXPECT_EQ(state->time_limit_ms, 9u);
    EXPECT_EQ(parsed.object.symbols[state->callback[0]].name, "make_table");
    EXPECT_EQ(state->callback[1], 0u);
    EXPECT_EQ(parsed.object.symbols[state->callback[3]].name, "drop_table");
    auto bare = parsed.metadata->next_state(cursor);
    ASSERT_TRUE(bare.has_value());
    EXPECT_EQ(bare->time_limit_ms, formats::kDefaultTimeLimitMs);
    EXPECT_FALSE(bare->is_irreversible());
}

TEST(Pack, MangledFunctionsHaveNamesForPeople) {
    TestObject test = good();
    u32 before = test.add_function("_Z10make_tablei");
    u32 plain = test.add_function("drop_table");
    test.declare_state("limits", {.id = 77}, {before, 0, 0, plain});
    Parsed parsed(*test.packed());
    std::string names;
    for (usize cursor = 0; auto name = parsed.metadata->next_display_name(cursor);)
        names += parsed.object.symbols[name->symbol].name + " " + std::string(name->text) + "\n";
    EXPECT_NE(names.find("_Z10make_tablei make_table(int)\n"), std::string::npos) << names;
    EXPECT_EQ(names.find("drop_table"), std::string::npos) << names;
}

TEST(Pack, StatesKeepTheOrderOfTheSource) {
    TestObject test = good();
    test.declare_state("third", {.id = 3}, {}, 12);
    test.declare_state("first", {.id = 1}, {}, 9);
    test.declare_state("second", {.id = 2}, {}, 10);
    Parsed parsed(*test.packed());
    std::string order;
    for (usize cursor = 0; auto state = parsed.metadata->next_state(cursor);) order += std::to_string(state->id);
    EXPECT_EQ(order, "123");
}

TEST(Pack, AStateAloneMakesAPatch) {
    TestObject test;
    test.declare_name();
    test.declare_state("limits", {.id = 77}, {test.fixed});
    Parsed parsed(*test.packed());
    EXPECT_EQ(parsed.metadata->func_count(), 0u);
    EXPECT_EQ(parsed.metadata->state_count(), 1u);
}

TEST(Pack, RefusesStatesThatDontFit) {
    using State = formats::StateDeclaration;
    auto declare = [](const std::string& name, const State& state) {
        return [=](TestObject& test) { test.declare_state(name, state); };
    };
    expect_refusal(declare("a b", {.id = 1}), "a b", "can't be a name");
    expect_refusal(declare("", {.id = 1}), "state", "incomplete");
    expect_refusal(declare("limits", {}), "limits", "needs an id");
    expect_refusal(declare("limits", {.id = 1, .time_limit_ms = 0}), "limits", "time limit of 0");
    expect_refusal(declare("limits", {.id = 1, .time_limit_ms = 600'001}), "limits", "time limit of 600001");
    auto twice = [&](TestObject& test) {
        declare("one", {.id = 1})(test);
        declare("two", {.id = 1})(test);
    };
    expect_refusal(twice, "two", "has the id 1 of state 'one'");
    auto bomb = [&](TestObject& test) {
        for (u64 id = 1; id <= formats::kKlpMaxStates + 1; ++id) declare("s", {.id = id})(test);
    };
    expect_refusal(bomb, "'s'", "at most 64");
    expect_refusal([](TestObject& test) { test.declare_state("s", {.id = 1}, {test.undefined("elsewhere")}); },
                   "elsewhere", "isn't a function of the patch");
    expect_refusal([](TestObject& test) { test.declare_state("s", {.id = 1}, {0, test.fixed}); }, "fixed",
                   "replaces a function");
}

TEST(Pack, RefusesWhatIsDeclaredWrongly) {
    TestObject nameless;
    nameless.declare_replace("price");
    EXPECT_NE(nameless.refusal().find("no name"), std::string::npos);
    TestObject idle;
    idle.declare_name();
    EXPECT_NE(idle.refusal().find("replaces no function"), std::string::npos);
    TestObject mute = good();
    mute.object.sections[mute.declarations].name = ".other";
    EXPECT_NE(mute.refusal().find("declares nothing"), std::string::npos);

    expect_refusal([](TestObject& test) { test.declare_name(); }, "name", "declared twice");
    expect_refusal([](TestObject& test) { test.object.sections[test.declarations].contents.pop_back(); },
                   ".graft.declare", "not a multiple");
    expect_refusal([](TestObject& test) { test.object.sections[test.declarations].contents[0] = std::byte{}; },
                   "declaration 0", "no magic");
    expect_refusal([](TestObject& test) { test.declare(DeclarationKind{99}, "x"); }, "declaration", "unknown kind 99");
    expect_refusal([](TestObject& test) { test.declare(DeclarationKind::hold, ""); }, "hold", "incomplete");
    PackOptions options;
    options.name = "../fix";
    expect_refusal([](TestObject&) {}, "../fix", "can't be a patch's", options);
}

TEST(Pack, RefusesOldFunctionsThatDontFit) {
    auto replace = [](const std::string& name) {
        return [name](TestObject& test) {
            test.object.sections[test.declarations].contents.clear();
            test.object.sections[test.declarations].relocations.clear();
            test.declare_name();
            test.declare_replace(name);
        };
    };
    expect_refusal(replace("nowhere"), "nowhere", "no such function");
    expect_refusal(replace("counter"), "counter", "no such function");
    expect_refusal(replace("twin"), "twin", "ambiguous");
    expect_refusal(replace("assembly"), "assembly", "no call site");
    expect_refusal(replace("writer"), "writer", "no-patch list");
    expect_refusal(replace("starter"), "starter", "only runs while the image boots");
    expect_refusal([](TestObject& test) { test.declare(DeclarationKind::hold_named, "starter", 0, 0, 0); }, "starter",
                   "only runs while the image boots");
    expect_refusal(replace("cold"), "cold", "only a part of");
    expect_refusal(replace("sizeless"), "sizeless", "no size");
    expect_refusal([](TestObject& test) { test.declare(DeclarationKind::hold_named, "twin", 0, 0, 3); }, "twin",
                   "no position 3");
    expect_refusal([](TestObject& test) { test.declare(DeclarationKind::hold_named, "price"); }, "price", "twice");
    expect_refusal([](TestObject& test) { test.declare(DeclarationKind::hold, "", test.fixed); }, "fixed",
                   "of the patch itself");
}

TEST(Pack, RefusesNewFunctionsThatDontFit) {
    expect_refusal([](TestObject& test) { test.declare(DeclarationKind::replace_named, "total", 0, test.fixed); },
                   "fixed", "one only");
    expect_refusal([](TestObject& test) { test.object.symbols[test.fixed].type = STT_OBJECT; }, "fixed",
                   "not a function");
    expect_refusal([](TestObject& test) { test.object.symbols[test.fixed].size = 0; }, "fixed", "not a function");
    expect_refusal([](TestObject& test) { test.object.sections[1].flags = SHF_ALLOC; }, "fixed",
                   "not in a text section");
    expect_refusal([](TestObject& test) { test.object.symbols[test.fixed].size = 7; }, "fixed", "can't be decoded");
    expect_refusal([](TestObject& test) { test.object.sections[1].contents[5] = std::byte{0x06}; }, "fixed",
                   "can't be decoded");
}

TEST(Pack, RefusesWhatNoLoaderTakes) {
    auto refer_to = [](TestObject& test, u32 symbol, u32 type = R_X86_64_PC32) {
        test.object.sections[1].relocations.push_back({1, type, symbol, -4});
    };
    expect_refusal([&](TestObject& test) { refer_to(test, test.undefined("missing")); }, "missing", "undefined");
    expect_refusal([&](TestObject& test) { refer_to(test, test.fixed, R_X86_64_GOTPCREL); }, ".text.fixed+0x1",
                   "relocation type 9");
    expect_refusal([](TestObject& test) { test.add_section(".odd", SHF_ALLOC, {1}); }, ".odd", "no place");
    expect_refusal([](TestObject& test) { test.add_section(".tdata", SHF_ALLOC | SHF_TLS, {1}); }, ".tdata",
                   "thread-local");
    expect_refusal([](TestObject& test) { test.add_symbol("shared", SHN_COMMON, STB_GLOBAL, STT_OBJECT, 8); }, "shared",
                   "common symbol");
    expect_refusal(
        [&](TestObject& test) { refer_to(test, test.add_symbol("fixed_at", SHN_ABS, STB_GLOBAL, STT_NOTYPE)); },
        "fixed_at", "absolute");
    expect_refusal([&](TestObject& test) { refer_to(test, test.add_symbol("d", 4, STB_LOCAL, STT_OBJECT)); },
                   ".debug_info", "isn't loaded");
    expect_refusal([](TestObject& test) { test.add_symbol("counter", 1, STB_GLOBAL, STT_OBJECT, 1); }, "counter",
                   "defined by the image, too");
}

TEST(PackImage, RefusesWhatIsNoImage) {
    auto refusal = [](std::vector<std::byte> file) {
        auto opened = Image::open(std::move(file), "x.elf");
        return opened ? std::string() : opened.error().text;
    };
    EXPECT_NE(refusal({}).find("not an x86-64 ELF image"), std::string::npos);
    EXPECT_NE(refusal(make_image_file(make_tables(), ".other_tables")).find("no section .graft_tables"),
              std::string::npos);
    auto damaged = make_tables();
    damaged[0] = std::byte{};
    EXPECT_NE(refusal(make_image_file(damaged)).find("damaged"), std::string::npos);
}

TEST(PackObject, ReadsWhatItHasWritten) {
    Object object = good().object;
    std::vector<std::byte> bytes = write_object(object);
    auto again = read_object(bytes, "again.o");
    ASSERT_TRUE(again.has_value());
    ASSERT_EQ(again->sections.size(), object.sections.size());
    EXPECT_EQ(again->sections[1].contents, object.sections[1].contents);
    ASSERT_EQ(again->symbols.size(), object.symbols.size());
    EXPECT_EQ(again->symbols[1].name, "fixed");
    EXPECT_EQ(write_object(*again), bytes);
}

// Linkers and readelf go by it. [elf, symbol table]
TEST(PackObject, SymbolTableSaysWhereGlobalsBegin) {
    std::vector<std::byte> bytes = write_object(good().object);  // symbols: the empty one, fixed (local), price
    Elf64_Ehdr header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    for (u64 i = 0; i < header.e_shnum; ++i) {
        Elf64_Shdr section;
        std::memcpy(&section, bytes.data() + header.e_shoff + i * sizeof(section), sizeof(section));
        if (section.sh_type != SHT_SYMTAB) continue;
        EXPECT_EQ(section.sh_info, 2u);
        EXPECT_EQ(section.sh_size, 3 * sizeof(Elf64_Sym));
        return;
    }
    FAIL() << "no symbol table";
}

TEST(PackObject, RefusesDamagedObjects) {
    std::vector<std::byte> bytes = write_object(good().object);
    EXPECT_FALSE(read_object({}, "x").has_value());
    for (usize length = 0; length < bytes.size(); length += 13)
        EXPECT_FALSE(read_object(std::span(bytes).first(length), "x").has_value()) << length;
    for (usize at = 0; at < bytes.size(); ++at) {
        std::vector<std::byte> flipped = bytes;
        flipped[at] ^= std::byte{0xff};
        (void)read_object(flipped, "x");  // whatever it says, it survives
    }
}

}  // namespace
}  // namespace graft::tools
