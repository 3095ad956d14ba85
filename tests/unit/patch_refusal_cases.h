// The cases of patch_refusal_test.cpp, one for each refusal: a patch that is right but for one thing.
#pragma once

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "formats/klp.h"
#include "tests/unit/patch_fixture.h"

namespace graft::patch::refusals {

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
inline Case spoiled(RefusalCode code, std::string why, std::function<void(PatchBuilder&, Fixture&)> spoil) {
    return {code, std::move(why), [spoil](Fixture& at) {
                PatchBuilder builder(at.image, "fix");
                builder.replace("f0");
                spoil(builder, at);
                return at.registry.load(builder.build(), {}, {});
            }};
}

// Finished, then spoiled.
inline Case spoiled_bytes(RefusalCode code, std::string why, std::function<void(Bytes&)> spoil) {
    return {code, std::move(why), [spoil](Fixture& at) {
                PatchBuilder builder(at.image, "fix");
                builder.replace("f0");
                Bytes file = builder.build();
                spoil(file);
                return at.registry.load(file, {}, {});
            }};
}

// A patch for one old function in place of f0.
inline Case on_function(RefusalCode code, std::string why,
                        std::function<void(PatchBuilder::Function&, Fixture&)> spoil) {
    return spoiled(code, std::move(why),
                   [spoil](PatchBuilder& builder, Fixture& at) { spoil(builder.functions[0], at); });
}

inline Case metadata(RefusalCode code, std::string why, std::function<void(Bytes&)> spoil) {
    return spoiled(code, std::move(why), [spoil](PatchBuilder& builder, Fixture&) { builder.spoil_metadata = spoil; });
}

inline void take(PatchBuilder::Function& function, const sim::SimFunction& old) {
    function.name = old.name;
    function.entry = old.entry();
    function.position = old.position;
    function.parts = old.parts;
}

// A raw record, for what the writer never writes.
inline void append_record(Bytes& section, u16 tag, u16 flags, const Bytes& payload) {
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

inline u32 add_raw(PatchBuilder& builder, std::string name, u32 type, u64 flags, u64 size, u64 alignment = 16) {
    return builder.object.add_section(std::move(name), type, flags, Bytes(size), alignment);
}

inline RefusalResult<void> load_simple(Fixture& at, const std::string& name, const std::string& old) {
    PatchBuilder builder(at.image, name);
    builder.replace(old);
    return at.registry.load(builder.build(), {}, {});
}

inline RefusalResult<void> load_canary(Fixture& at) {
    PatchBuilder builder(at.image, "fix");
    builder.replace("f0");
    CanaryPolicy policy;
    policy.kind = CanaryPolicy::Kind::births;
    return at.registry.load(builder.build(), {}, {.canary = policy});
}

inline void must(RefusalResult<void> result) {
    ASSERT_TRUE(result.has_value());
}

// What is wrong with the file as such: patch_refusal_file_cases.cpp
void add_envelope_cases(std::vector<Case>& cases);
void add_signature_cases(std::vector<Case>& cases);
void add_version_cases(std::vector<Case>& cases);
void add_object_cases(std::vector<Case>& cases);
void add_metadata_cases(std::vector<Case>& cases);
// With what it contains: patch_refusal_content_cases.cpp
void add_section_cases(std::vector<Case>& cases);
void add_symbol_cases(std::vector<Case>& cases);
void add_function_cases(std::vector<Case>& cases);
void add_relocation_cases(std::vector<Case>& cases);
// With the moment, beside others, on the machine: patch_refusal_system_cases.cpp
void add_state_cases(std::vector<Case>& cases);
void add_callback_cases(std::vector<Case>& cases);
void add_other_cases(std::vector<Case>& cases);

}  // namespace graft::patch::refusals
