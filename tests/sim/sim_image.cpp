#include "tests/sim/sim_image.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "patch/destructors.h"

namespace graft::sim {

namespace {

constexpr u64 kPage = 4096;
// The same place each time, so that kept inputs of the fuzzer keep their meaning; another one while that is taken.
constexpr u64 kPlace = 0x20000000;

void* map_low(usize size) {
    constexpr int kKind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* wanted = reinterpret_cast<void*>(kPlace);
    void* memory = mmap(wanted, size, PROT_READ | PROT_WRITE, kKind | MAP_FIXED_NOREPLACE, -1, 0);
    if (memory != MAP_FAILED) return memory;
    return mmap(nullptr, size, PROT_READ | PROT_WRITE, kKind | MAP_32BIT, -1, 0);
}

constexpr u8 kNop[] = {0x0f, 0x1f, 0x44, 0x00, 0x00};

}  // namespace

SimImage::SimImage(usize count) : ordinary_count_(count) {
    u64 image_size = VirtAddr((count + 16) * 2 * kFunctionSize).align_up(kPage).value;
    memory_size_ = image_size + kPatchRoom;
    memory_ = map_low(memory_size_);
    if (memory_ == MAP_FAILED) std::abort();
    image_ = AddressRange::of(VirtAddr(memory_), image_size);
    patch_room_ = AddressRange::of(image_.end, kPatchRoom);
    next_ = image_.begin;
    for (usize i = 0; i < build_id_.size(); ++i) build_id_[i] = static_cast<u8>(0xa0 + i);

    for (usize i = 0; i < count; ++i) add("f" + std::to_string(i), true, i % 3 == 2);
    functions_[add(kAssembly, true, false)].patchability = patch::Patchability::no_call_site;
    functions_[add(kNoPatch, true, false)].patchability = patch::Patchability::no_patch;
    functions_[add(kEndless, true, false)].has_return = false;
    add(kTwin, false, false);
    functions_[add(kTwin, false, false)].position = 2;
    VirtAddr aliased = functions_[add(kAliased, true, false)].entry();
    symbols_.emplace(kAlias, aliased);
    globals_.emplace(kAlias, aliased);
    add(kWeak, true, false);
    add(std::string(patch::kPatchAtexitSymbol), true, false);
    add(std::string(patch::kAtexitSymbol), true, false);
    add_object(kObject, true);
    add_object(kLocalObject, false);
    add_object(std::string(patch::kHandleSymbol), true);
    init_text_ = functions_[add(kBootOnly, true, false)].entry();
}

SimImage::~SimImage() {
    munmap(memory_, memory_size_);
}

usize SimImage::add(std::string name, bool global, bool two_parts) {
    SimFunction function;
    function.name = name;
    for (int part = 0; part < (two_parts ? 2 : 1); ++part) {
        function.parts.push_back(AddressRange::of(next_, kFunctionSize));
        auto* bytes = next_.as<u8>();
        for (u64 i = 0; i < kFunctionSize; ++i) bytes[i] = static_cast<u8>(functions_.size() * 7 + i);
        if (part == 0) std::memcpy(bytes, kNop, sizeof(kNop));
        next_ += kFunctionSize;
    }
    usize index = functions_.size();
    by_entry_[function.entry()] = index;
    symbols_.emplace(name, function.entry());
    if (global) globals_.emplace(name, function.entry());
    functions_.push_back(std::move(function));
    return index;
}

void SimImage::add_object(std::string name, bool global) {
    symbols_.emplace(name, next_);
    if (global) globals_.emplace(name, next_);
    next_ += kFunctionSize;
}

const SimFunction& SimImage::function(std::string_view name) const {
    for (auto& function : functions_) {
        if (function.name == name) return function;
    }
    std::abort();
}

std::optional<usize> SimImage::index_at(VirtAddr entry) const {
    auto found = by_entry_.find(entry);
    if (found == by_entry_.end()) return std::nullopt;
    return found->second;
}

std::optional<patch::FunctionInfo> SimImage::info_at(VirtAddr entry) const {
    auto index = index_at(entry);
    if (!index) return std::nullopt;
    const SimFunction& function = functions_[*index];
    patch::FunctionInfo info;
    info.entry = entry;
    info.name = function.name;
    info.position = function.position;
    info.patchability = function.patchability;
    info.has_return = function.has_return;
    for (AddressRange part : function.parts) info.ranges[info.range_count++] = part;
    return info;
}

bool SimImage::has_symbol(std::string_view name, VirtAddr address) const {
    auto [begin, end] = symbols_.equal_range(name);
    for (auto at = begin; at != end; ++at) {
        if (at->second == address) return true;
    }
    return false;
}

std::optional<VirtAddr> SimImage::find_global(std::string_view name) const {
    auto found = globals_.find(name);
    if (found == globals_.end()) return std::nullopt;
    return found->second;
}

bool SimImage::read(VirtAddr address, std::span<std::byte> bytes) const {
    auto end = checked_add<u64>(address.value, bytes.size());
    if (!end || !image_.contains(AddressRange{address, VirtAddr(*end)})) return false;
    std::memcpy(bytes.data(), address.as<>(), bytes.size());
    return true;
}

}  // namespace graft::sim
