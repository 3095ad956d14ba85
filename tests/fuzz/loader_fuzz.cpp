// Patch files from anywhere: parsed, planned, loaded, turned and unloaded over a machine that keeps books. A refusal
// leaves the books as they were; what is accepted can be unloaded again without a trace.
//
// The input's first byte says what the rest is:
//   0  the whole file
//   1  the object; envelope and, where the section .graft.patch is found, the build-id are put right
//   2  a program for PatchBuilder, a byte an instruction with its operands: most of what it makes is accepted
//
// GRAFT_FUZZ_PLANTED=1 in the environment plants a defect behind the last check, which the fuzzer must find.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/reader.h"
#include "patch/registry.h"
#include "tests/sim/patch_builder.h"
#include "tests/sim/still_machine.h"

namespace graft {
namespace {

using sim::Bytes;
using sim::PatchBuilder;
using RecordOwner = patch::RecordOwner<patch::Registry>;

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            std::fprintf(stderr, "%d: not so: %s\n", __LINE__, #condition); \
            std::abort();                                                   \
        }                                                                   \
    } while (false)

constexpr usize kFunctions = 16;

struct Count {
    u64 inputs = 0;
    u64 committed = 0;
    ~Count() { std::fprintf(stderr, "loader: inputs=%lu committed=%lu\n", inputs, committed); }
};
Count count;

// Finds the metadata by its magic; the build-id stands 12 bytes behind it.
void put_build_id_right(Bytes& object, const patch::BuildId& build_id) {
    for (usize i = 0; i + formats::kKlpMetadataHeaderSize <= object.size(); ++i) {
        if (std::memcmp(object.data() + i, formats::kKlpMetadataMagic.data(), 4) != 0) continue;
        std::memcpy(object.data() + i + 12, build_id.data(), build_id.size());
    }
}

u8 some_binding(u8 byte) {
    constexpr u8 kBindings[] = {patch::elf::kBindLocal, patch::elf::kBindGlobal, patch::elf::kBindWeak,
                                patch::elf::kBindUnique};
    return kBindings[byte % 4];
}

u32 some_type(u8 byte) {
    constexpr u32 kTypes[] = {patch::elf::kRelocation64, patch::elf::kRelocationPc32, patch::elf::kRelocationPlt32,
                              patch::elf::kRelocation32S};
    return byte < 250 ? kTypes[byte % 4] : byte;
}

// Runs the program; what it makes is well formed as an object, and mostly as a patch.
class Builder {
public:
    Builder(const sim::SimImage& image, Reader program) : image_(image), program_(program), builder_(image, "fuzzed") {
        functions_.push_back(builder_.replace("f0"));
        symbols_ = functions_;
    }

    Bytes build() {
        for (int i = 0; i < 64 && program_.ok() && !program_.at_end(); ++i) step();
        return builder_.build();
    }

private:
    u8 byte() { return program_.read<u8>(); }
    u32 one_of(const std::vector<u32>& all) { return all[byte() % all.size()]; }
    const sim::SimFunction& some_function() { return image_.function(byte() % kFunctions); }

    void step() {
        constexpr u64 kWrite = patch::elf::kFlagAlloc | patch::elf::kFlagWrite;
        switch (byte() % 10) {
            case 0:
                functions_.push_back(builder_.replace(some_function().name));
                symbols_.push_back(functions_.back());
                return;
            case 1:
                builder_.add_hold(some_function());
                return;
            case 2:
                functions_.push_back(builder_.add_function("g" + std::to_string(byte() % 8), some_binding(byte())));
                symbols_.push_back(functions_.back());
                return;
            case 3:
                symbols_.push_back(builder_.add_reference(some_function().name, some_function().entry()));
                return;
            case 4: {
                u32 function = one_of(functions_);
                u32 section = builder_.section_of(function);
                u32 target = one_of(symbols_);
                u32 type = some_type(byte());
                u64 offset = byte() % 40;
                builder_.object.add_relocation(section, offset, type, target, static_cast<i8>(byte()));
                return;
            }
            case 5: {
                u64 size = byte();
                u32 data = builder_.object.add_section(".data.x", patch::elf::kSectionProgram, kWrite, Bytes(size),
                                                       u64{1} << (byte() % 14));
                u32 target = one_of(symbols_);
                builder_.object.add_relocation(data, byte(), patch::elf::kRelocation64, target, 0);
                symbols_.push_back(builder_.object.add_symbol("", static_cast<u16>(data), 0, 0, 0, 3));
                return;
            }
            case 6: {
                u32 list =
                    builder_.object.add_section(".init_array", patch::elf::kSectionInitArray, kWrite, Bytes(8), 8);
                builder_.object.add_relocation(list, 0, patch::elf::kRelocation64, one_of(symbols_), 0);
                return;
            }
            case 7:
                symbols_.push_back(builder_.add_undefined(byte() % 2 == 0 ? "__dso_handle" : "__cxa_atexit"));
                return;
            case 8: {
                formats::KlpState& state = builder_.add_state(byte() % 16, byte());
                state.flags = byte() % 4 == 0 ? byte() : 0;  // irreversible ones can't be unloaded: see below
                for (u32& symbol : state.callback) symbol = byte() % 2 == 0 ? one_of(symbols_) : 0;
                if (byte() % 2 == 0) builder_.add_callback(state, formats::KlpCallback::pre_patch);
                return;
            }
            default: {
                u32 index = one_of(symbols_);
                builder_.object.symbol(index).value += byte() % 4;
                return;
            }
        }
    }

    const sim::SimImage& image_;
    Reader program_;
    PatchBuilder builder_;
    std::vector<u32> functions_;
    std::vector<u32> symbols_;
};

Bytes file_of(const sim::SimImage& image, std::span<const std::byte> input) {
    Bytes rest(input.begin() + 1, input.end());
    switch (static_cast<u8>(input[0]) % 3) {
        case 0:
            return rest;
        case 1:
            put_build_id_right(rest, image.build_id());
            return PatchBuilder::with_envelope(rest);
        default:
            return Builder(image, Reader(rest)).build();
    }
}

class Silent final : public patch::PlanSink {
public:
    void patch(const patch::PatchView&) override {}
    void function(const patch::FunctionView&) override {}
    void holder(u64, patch::Verdict::Kind) override {}
    void refusal(const patch::Refusal& refusal) override {
        Text<512> line;
        render(refusal, line);
        refused = true;
    }
    bool refused = false;
};

void plant(patch::Registry& registry) {
    static const bool planted = std::getenv("GRAFT_FUZZ_PLANTED") != nullptr;
    if (!planted) return;
    struct Visitor final : patch::PatchVisitor {
        void patch(const patch::PatchView& view) override {
            if (view.func_count == 3 && view.hold_count == 2 && view.data.size() != 0) std::abort();
        }
    } visitor;
    registry.visit_patches(visitor);
}

bool versioned(patch::Registry& registry) {
    struct Visitor final : patch::PatchVisitor {
        void patch(const patch::PatchView& view) override { has_version = !view.version.empty(); }
        bool has_version = false;
    } visitor;
    registry.visit_patches(visitor);
    return visitor.has_version;
}

// False: the patch can't be unloaded, and by design.
bool load_and_unload(sim::StillMachine& machine, RecordOwner& owner, const Bytes& file) {
    patch::Registry& registry = *owner;
    auto before = machine.ledger();
    Silent sink;
    registry.plan(file, "fuzzed", {}, sink);
    CHECK(machine.ledger() == before);
    auto loaded = registry.load(file, "fuzzed", {});
    if (!loaded) {
        Text<512> line;
        render(loaded.error(), line);
        CHECK(machine.ledger() == before);
        return true;
    }
    CHECK(!sink.refused);
    ++count.committed;
    plant(registry);
    CHECK(registry.complete() == patch::Completion::done);
    bool has_version = versioned(registry);
    auto unregistered = registry.unregister("fuzzed");
    if (!unregistered && unregistered.error().code == patch::RefusalCode::irreversible_state) return false;
    CHECK(unregistered.has_value());
    CHECK(registry.complete() == patch::Completion::done);
    if (has_version) {  // of which the registry keeps a record
        owner.reset();
        owner = patch::Registry::create(machine);
    }
    CHECK(machine.ledger() == before);
    return true;
}

}  // namespace
}  // namespace graft

extern "C" int LLVMFuzzerTestOneInput(const graft::u8* data, graft::usize size) {
    using namespace graft;
    // Kept from input to input: each must leave them as it found them.
    static sim::SimImage image(kFunctions);
    static sim::StillMachine machine(image);
    static auto registry = patch::Registry::create(machine);
    if (size == 0) return 0;
    ++count.inputs;
    Bytes file = file_of(image, std::as_bytes(std::span(data, size)));
    machine.calls.clear();
    machine.callbacks.clear();
    if (!load_and_unload(machine, registry, file)) {
        machine.forget_sites();
        registry.reset();
        registry = patch::Registry::create(machine);
    }
    CHECK(machine.violations.empty());
    return 0;
}
