#include "kernel/code_map.h"

#include <atomic>
#include <new>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/measuring.h"
#include "arch/x86_64/return_hook.h"
#include "arch/x86_64/sync.h"
#include "base/assert.h"
#include "kernel/image.h"
#include "kernel/memory.h"
#include "kernel/panic.h"

namespace graft::kernel {

namespace {

// One registered piece of code, in the records heap: its addresses must not look like references to the patch.
struct Region {
    AddressRange text;
    bool is_trampoline = false;
    patch::PatchCode code;
    arch::FrameTable table;
    arch::FrameIndexEntry* index = nullptr;
    usize index_count = 0;
    std::atomic<bool> is_watched{false};  // guards nothing: who comes a moment late is told so by the registry
    std::atomic<Region*> next{nullptr};

    std::span<const arch::FrameIndexEntry> frames() const { return {index, index_count}; }
};

// The links: release in link(), acquire in region_of().
constinit std::atomic<Region*> regions{nullptr};

// Release in forget_init_text() pairs with acquire in image_text_of().
constinit std::atomic<bool> has_init_text{true};

// Release in remove_code(), after the region was unlinked, pairs with acquire in code_generation(): who sees the new
// generation doesn't find the region any more.
constinit std::atomic<u64> generation{0};

alignas(formats::ImageTables) constinit std::byte tables_storage[sizeof(formats::ImageTables)]{};
constinit const formats::ImageTables* tables = nullptr;  // constant after init_code_map()

const Region* region_of(VirtAddr pc) {
    for (Region* region = regions.load(std::memory_order_acquire); region;
         region = region->next.load(std::memory_order_acquire)) {
        if (region->text.contains(pc)) return region;
    }
    return nullptr;
}

// The part of the image's code that holds `pc`; empty when none does.
AddressRange image_text_of(VirtAddr pc) {
    if (tables->text().contains(pc)) return tables->text();
    AddressRange init = image_range(ImageSection::init_text);
    return init.contains(pc) && has_init_text.load(std::memory_order_acquire) ? init : AddressRange{};
}

bool is_image_text(VirtAddr pc) {
    return !image_text_of(pc).empty();
}

arch::FrameTable image_frames() {
    AddressRange range = tables->eh_frame();
    return {{range.begin.as<const std::byte>(), range.size()}, range.begin};
}

std::optional<arch::FdeView> fde_of(arch::FrameTable table, u32 offset) {
    auto fde = arch::parse_fde(table, offset);
    if (!fde) return std::nullopt;
    return *fde;
}

class KernelCodeMap final : public arch::CodeMap {
public:
    std::optional<arch::FdeView> find(VirtAddr pc) const override {
        if (is_image_text(pc)) {
            auto frame = tables->frame_at(pc);
            return frame ? fde_of(image_frames(), frame->fde) : std::nullopt;
        }
        const Region* region = region_of(pc);
        if (!region || region->is_trampoline) return std::nullopt;
        auto entry = arch::find_in_index(region->frames(), pc);
        return entry ? fde_of(region->table, entry->fde_offset) : std::nullopt;
    }

    bool is_text(VirtAddr pc) const override { return is_image_text(pc) || region_of(pc); }

    arch::KnownFrame known_frame(VirtAddr pc) const override {
        if (tables->text().contains(pc)) {
            AddressRange hook{VirtAddr(graft_return_hook), VirtAddr(graft_return_hook_end)};
            if (hook.contains(pc)) return arch::KnownFrame::return_hook;
            AddressRange measured{VirtAddr(graft_measure_return), VirtAddr(graft_measure_return_end)};
            if (measured.contains(pc)) return arch::KnownFrame::measured_return;
            AddressRange entry{VirtAddr(arch_task_entry()), VirtAddr(arch_task_entry_end())};
            return entry.contains(pc) ? arch::KnownFrame::task_entry : arch::KnownFrame::none;
        }
        const Region* region = region_of(pc);
        return region && region->is_trampoline ? arch::KnownFrame::trampoline : arch::KnownFrame::none;
    }

    VirtAddr return_hook() const override { return VirtAddr(graft_return_hook); }
    VirtAddr measured_return() const override { return VirtAddr(graft_measure_return); }

    std::span<const std::byte> text_before(VirtAddr pc, usize count) const override {
        VirtAddr last = pc - 1;
        AddressRange text = image_text_of(last);
        if (text.empty()) {
            const Region* region = region_of(last);
            if (!region) return {};
            text = region->text;
        }
        u64 available = pc - text.begin;
        u64 size = available < count ? available : count;
        return {VirtAddr(pc - size).as<const std::byte>(), size};
    }

private:
    static const char* arch_task_entry() { return graft_task_entry; }
    static const char* arch_task_entry_end() { return graft_task_entry_end; }
};

constinit KernelCodeMap map;
constinit std::atomic<u64> region_count{0};  // only counts

void link(Region& region) {
    region_count.fetch_add(1, std::memory_order_relaxed);
    region.next.store(regions.load(std::memory_order_relaxed), std::memory_order_relaxed);
    regions.store(&region, std::memory_order_release);  // pairs with region_of()
}

void destroy(Region& region) {
    records_release(region.index);
    region.~Region();
    records_release(&region);
}

Region* make_region(AddressRange text) {
    void* memory = records_allocate(sizeof(Region), alignof(Region));
    if (!memory) return nullptr;
    auto* region = new (memory) Region;
    region->text = text;
    return region;
}

bool index_frames(Region& region) {
    auto count = arch::count_functions(region.table);
    if (!count) return false;
    if (*count == 0) return true;
    void* memory = records_allocate(*count * sizeof(arch::FrameIndexEntry), alignof(arch::FrameIndexEntry));
    if (!memory) return false;
    region.index = static_cast<arch::FrameIndexEntry*>(memory);
    auto filled = arch::build_index(region.table, {region.index, *count});
    if (!filled) return false;
    region.index_count = *filled;
    return true;
}

CodeName name_in_patch(const Region& region, VirtAddr pc) {
    if (region.is_trampoline) return {"trampoline", "trampoline", {}, pc - region.text.begin};
    CodeName name;
    name.patch = region.code.patch_name;
    for (const patch::CodeSymbol& symbol : region.code.symbols) {
        if (!AddressRange::of(symbol.address, symbol.size).contains(pc)) continue;
        name.function = symbol.name;
        name.display = symbol.display;
        name.offset = pc - symbol.address;
    }
    return name;
}

}  // namespace

void init_code_map() {
    auto opened = formats::ImageTables::open(image_section(ImageSection::tables));
    if (!opened) panic("the image's tables are damaged");
    tables = new (tables_storage) formats::ImageTables(*opened);
}

const formats::ImageTables& image_tables() {
    return *tables;
}

const arch::CodeMap& code_map() {
    return map;
}

void forget_init_text() {
    has_init_text.store(false, std::memory_order_release);
    generation.fetch_add(1, std::memory_order_release);
    arch::synchronise_processors();
}

bool add_patch_code(const patch::PatchCode& code) {
    Region* region = make_region(code.text);
    if (!region) return false;
    region->code = code;
    region->table = {{code.eh_frame.begin.as<const std::byte>(), code.eh_frame.size()}, code.eh_frame.begin};
    if (!index_frames(*region)) {
        destroy(*region);
        return false;
    }
    link(*region);
    return true;
}

bool add_trampoline_code(AddressRange text) {
    Region* region = make_region(text);
    if (!region) return false;
    region->is_trampoline = true;
    link(*region);
    return true;
}

void remove_code(AddressRange text) {
    std::atomic<Region*>* place = &regions;
    Region* region = place->load(std::memory_order_relaxed);  // the registry's lock orders writers
    while (region && region->text.begin != text.begin) {
        place = &region->next;
        region = place->load(std::memory_order_relaxed);
    }
    GRAFT_ASSERT(region);
    place->store(region->next.load(std::memory_order_relaxed), std::memory_order_release);  // pairs with region_of()
    generation.fetch_add(1, std::memory_order_release);
    arch::synchronise_processors();
    destroy(*region);
    region_count.fetch_sub(1, std::memory_order_relaxed);
}

void watch_code(AddressRange text, bool is_watched) {
    for (Region* region = regions.load(std::memory_order_relaxed); region;
         region = region->next.load(std::memory_order_relaxed)) {
        if (region->text.begin == text.begin) region->is_watched.store(is_watched, std::memory_order_relaxed);
    }
}

bool is_watched_code(VirtAddr pc) {
    const Region* region = region_of(pc);
    return region && region->is_watched.load(std::memory_order_relaxed);
}

bool is_patch_code(VirtAddr pc) {
    const Region* region = region_of(pc);
    return region && !region->is_trampoline;
}

u64 code_region_count() {
    return region_count.load(std::memory_order_relaxed);
}

u64 code_generation() {
    return generation.load(std::memory_order_acquire);
}

CodeName name_of_code(VirtAddr pc) {
    if (!tables) return {};
    if (const Region* region = region_of(pc)) return name_in_patch(*region, pc);
    auto index = tables->symbol_at(pc);
    if (!index) return {};
    formats::ImageSymbol symbol = tables->symbol(*index);
    return {tables->name(symbol), tables->display_name(symbol), {}, pc - tables->address(symbol)};
}

void append_code_name(TextBuffer& out, VirtAddr pc) {
    arch::InterruptsOff off;
    CodeName name = name_of_code(pc);
    if (name.display.empty()) {
        out.append(hex(pc.value, 16));
    } else {
        out.append(name.display, "+", hex(name.offset));
    }
    if (!name.patch.empty()) out.append(" [", name.patch, "]");
}

}  // namespace graft::kernel
