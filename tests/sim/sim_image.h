// SimImage: an image that exists in the test's own memory, in the lower 2 GiB so that the kernel code model's
// relocations reach it, with functions of every kind that the core must tell apart. Behind it lies room for patches.
//
// Function i has its body at entry(i); every third one has a second part elsewhere, as a split-off cold part would be.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "patch/machine.h"

namespace graft::sim {

struct SimFunction {
    std::string name;
    std::vector<AddressRange> parts;
    u32 position = 1;
    patch::Patchability patchability = patch::Patchability::patchable;
    bool has_return = true;

    VirtAddr entry() const { return parts[0].begin; }
};

class SimImage {
public:
    static constexpr u64 kFunctionSize = 64;
    static constexpr u64 kPatchRoom = 96u << 20;

    // `count` ordinary functions `f0`, `f1`, …, and some special ones after them.
    explicit SimImage(usize count);
    SimImage(const SimImage&) = delete;
    SimImage& operator=(const SimImage&) = delete;
    ~SimImage();

    usize ordinary_count() const { return ordinary_count_; }
    const SimFunction& function(usize index) const { return functions_[index]; }
    const SimFunction& function(std::string_view name) const;
    std::optional<usize> index_at(VirtAddr entry) const;
    AddressRange range() const { return image_; }
    AddressRange patch_room() const { return patch_room_; }
    const patch::BuildId& build_id() const { return build_id_; }

    std::optional<patch::FunctionInfo> info_at(VirtAddr entry) const;
    bool has_symbol(std::string_view name, VirtAddr address) const;
    std::optional<VirtAddr> find_global(std::string_view name) const;
    bool is_init_text(VirtAddr entry) const { return entry == init_text_; }
    bool read(VirtAddr address, std::span<std::byte> bytes) const;

    // Names of the special functions and objects.
    static constexpr const char* kAssembly = "assembly";   // no call site
    static constexpr const char* kNoPatch = "writer";      // on the no-patch list
    static constexpr const char* kEndless = "loop";        // never returns
    static constexpr const char* kTwin = "twin";           // two static functions of this name
    static constexpr const char* kAliased = "first_name";  // with the alias "second_name"
    static constexpr const char* kAlias = "second_name";
    static constexpr const char* kWeak = "inline_function";  // a global that patches carry copies of
    static constexpr const char* kObject = "counter";        // a variable
    static constexpr const char* kLocalObject = "hidden";    // a static one
    static constexpr const char* kBootOnly = "starter";      // only runs at boot

private:
    usize add(std::string name, bool global, bool two_parts);
    void add_object(std::string name, bool global);

    usize ordinary_count_;
    std::vector<SimFunction> functions_;
    std::multimap<std::string, VirtAddr, std::less<>> symbols_;
    std::map<std::string, VirtAddr, std::less<>> globals_;
    std::map<VirtAddr, usize> by_entry_;
    void* memory_ = nullptr;
    usize memory_size_ = 0;
    VirtAddr next_;
    AddressRange image_;
    AddressRange patch_room_;
    VirtAddr init_text_;
    patch::BuildId build_id_{};
};

}  // namespace graft::sim
