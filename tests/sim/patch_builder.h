// Makes patch files for a SimImage: functions with frame information, funcs, holds, references, envelope. What is built
// is right unless a test spoils it: through `object`, through the hooks, or in the finished bytes.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "base/types.h"
#include "formats/klp.h"
#include "tests/sim/object_builder.h"
#include "tests/sim/sim_image.h"

namespace graft::sim {

class PatchBuilder {
public:
    static constexpr u64 kFunctionSize = 32;

    PatchBuilder(const SimImage& image, std::string name);

    // A function of the patch in a section `.text.<name>` of its own, with a frame description; returns its symbol.
    u32 add_function(const std::string& name, u8 binding = elf::kBindLocal);
    u32 section_of(u32 symbol) { return object.symbol(symbol).section; }
    u32 add_undefined(const std::string& name);
    // An undefined symbol with its reference.
    u32 add_reference(const std::string& name, VirtAddr address);
    // A `call target` at `offset` of the symbol's section.
    void add_call(u32 symbol, u64 offset, u32 target);

    // Adds a function `new_<old>` that replaces the old one; returns its symbol.
    u32 replace(const std::string& old);
    void add_func(const SimFunction& old, u32 symbol);
    void add_hold(const SimFunction& function);
    // A state without callbacks, named `state-<id>`; the caller may add to it.
    formats::KlpState& add_state(u64 id, u32 version = 1);
    // A function of the patch that is this state's callback; returns its symbol.
    u32 add_callback(formats::KlpState& state, formats::KlpCallback which);

    // Section .graft.patch as it is so far.
    Bytes metadata() const;
    // The whole file.
    Bytes build();
    static Bytes with_envelope(Bytes object, const formats::KlpEnvelope& envelope = {});

    ObjectBuilder object;
    formats::KlpBuildId build_id{};
    std::string set;  // empty: none in the metadata
    // Called while the metadata is written, after the name.
    std::function<void(formats::KlpMetadataWriter&)> more_metadata;
    std::function<void(Bytes&)> spoil_metadata;
    struct Function {
        formats::KlpTag tag;
        std::string name;
        VirtAddr entry;
        u32 position;
        u32 symbol;
        std::vector<AddressRange> parts;
    };
    std::vector<Function> functions;
    std::vector<formats::KlpReference> references;
    std::deque<formats::KlpState> states;
    bool with_frames = true;

private:
    void add_frames();
    usize write_metadata(std::span<std::byte> out) const;

    const SimImage& image_;
    std::string name_;
    std::vector<u32> framed_;  // symbols
    std::deque<std::string> state_names_;
};

}  // namespace graft::sim
