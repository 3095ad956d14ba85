#include "tests/sim/patch_builder.h"

#include <cstring>

namespace graft::sim {

namespace {

constexpr u64 kText = elf::kFlagAlloc | elf::kFlagExecute;

void append(Bytes& out, std::initializer_list<u8> bytes) {
    for (u8 byte : bytes) out.push_back(static_cast<std::byte>(byte));
}

void append_number(Bytes& out, u32 value) {
    for (int i = 0; i < 4; ++i) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

}  // namespace

PatchBuilder::PatchBuilder(const SimImage& image, std::string name) : image_(image), name_(std::move(name)) {
    build_id = image.build_id();
}

u32 PatchBuilder::add_function(const std::string& name, u8 binding) {
    Bytes code;
    append(code, {0x0f, 0x1f, 0x44, 0x00, 0x00});  // its own call site
    while (code.size() + 1 < kFunctionSize) append(code, {0x90});
    append(code, {0xc3});
    u32 section = object.add_section(".text." + name, elf::kSectionProgram, kText, code);
    u32 symbol = object.add_symbol(name, static_cast<u16>(section), 0, kFunctionSize, binding, elf::kSymbolFunction);
    framed_.push_back(symbol);
    return symbol;
}

u32 PatchBuilder::add_undefined(const std::string& name) {
    return object.add_symbol(name, elf::kSectionUndefined, 0, 0, elf::kBindGlobal, 0);
}

u32 PatchBuilder::add_reference(const std::string& name, VirtAddr address) {
    u32 symbol = add_undefined(name);
    references.push_back({symbol, address, 0});
    return symbol;
}

void PatchBuilder::add_call(u32 symbol, u64 offset, u32 target) {
    u32 section = section_of(symbol);
    object.section(section).contents[offset] = std::byte{0xe8};
    object.add_relocation(section, offset + 1, elf::kRelocationPlt32, target, -4);
}

u32 PatchBuilder::replace(const std::string& old) {
    u32 symbol = add_function("new_" + old);
    add_func(image_.function(old), symbol);
    return symbol;
}

void PatchBuilder::add_func(const SimFunction& old, u32 symbol) {
    functions.push_back({formats::KlpTag::func, old.name, old.entry(), old.position, symbol, old.parts});
}

void PatchBuilder::add_hold(const SimFunction& function) {
    functions.push_back({formats::KlpTag::hold, function.name, function.entry(), function.position, 0, function.parts});
}

formats::KlpState& PatchBuilder::add_state(u64 id, u32 version) {
    formats::KlpState& state = states.emplace_back();
    state.id = id;
    state.version = version;
    state.time_limit_ms = 5000;
    state.name = state_names_.emplace_back("state-" + std::to_string(id));
    return state;
}

u32 PatchBuilder::add_callback(formats::KlpState& state, formats::KlpCallback which) {
    constexpr const char* kNames[] = {"pre_patch_", "post_patch_", "pre_unpatch_", "post_unpatch_", "destroy_"};
    usize index = static_cast<usize>(which);
    state.callback[index] = add_function(kNames[index] + std::to_string(state.id));
    return state.callback[index];
}

Bytes PatchBuilder::metadata() const {
    Bytes out(write_metadata({}));
    write_metadata(out);
    if (spoil_metadata) spoil_metadata(out);
    return out;
}

usize PatchBuilder::write_metadata(std::span<std::byte> out) const {
    formats::KlpMetadataWriter writer(out, build_id);
    if (!name_.empty()) writer.text(formats::KlpTag::name, name_);
    if (!set.empty()) writer.text(formats::KlpTag::set, set);
    if (more_metadata) more_metadata(writer);
    for (auto& function : functions) {
        std::vector<formats::KlpRange> ranges;
        for (AddressRange part : function.parts) {
            ranges.push_back({part.begin, {part.begin.as<const std::byte>(), part.size()}});
        }
        writer.function(function.tag, function.name, function.entry, function.position, function.symbol, ranges);
    }
    for (auto& state : states) writer.state(state);
    for (auto& reference : references) writer.reference(reference.symbol, reference.address);
    return writer.finish();
}

// One CIE, and an FDE for each function [lsb §10.6]: CFA = rsp + 8, the return address at CFA - 8.
void PatchBuilder::add_frames() {
    Bytes table;
    append_number(table, 20);
    append_number(table, 0);
    append(table, {1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b});  // code 1, data -8, return column 16, pcrel sdata4
    append(table, {0x0c, 7, 8, 0x90, 1, 0, 0});             // def_cfa rsp 8; offset rip -8; nops
    u32 section = object.add_section(".eh_frame", elf::kSectionProgram, elf::kFlagAlloc, {}, 8);
    for (u32 symbol : framed_) {
        u64 at = table.size();
        append_number(table, 20);
        append_number(table, static_cast<u32>(at + 4));
        append_number(table, 0);
        append_number(table, static_cast<u32>(object.symbol(symbol).size));
        append(table, {0, 0, 0, 0, 0, 0, 0, 0});
        object.add_relocation(section, at + 8, elf::kRelocationPc32, symbol, 0);
    }
    object.section(section).contents = table;
    object.section(section).header.size = table.size();
}

Bytes PatchBuilder::build() {
    if (with_frames) add_frames();
    object.add_section(std::string(formats::kKlpSection), elf::kSectionProgram, 0, metadata(), 1);
    return with_envelope(object.build());
}

Bytes PatchBuilder::with_envelope(Bytes object, const formats::KlpEnvelope& envelope) {
    formats::KlpEnvelope written = envelope;
    if (written.object_size == 0) written.object_size = object.size();
    auto trailer = formats::encode_klp_envelope(written);
    object.insert(object.end(), trailer.begin(), trailer.end());
    return object;
}

}  // namespace graft::sim
