// The kernel's side of patch/machine.h: memory of patches, and what it knows of the image. Its transitions and the
// search have files of their own; what they do together is the torture's.

#include <array>

#include "arch/x86_64/paging.h"
#include "kernel/code_map.h"
#include "kernel/image.h"
#include "kernel/memory.h"
#include "tests/guest/kernel/patch_support.h"
#include "tests/guest/kernel/tests.h"

namespace graft::tests {

namespace {

using arch::PageAccess;

bool has_access(VirtAddr address, PageAccess access) {
    auto mapping = arch::translate(address);
    return mapping && mapping->access == access;
}

VirtAddr alias_of(VirtAddr address) {
    auto mapping = arch::translate(address);
    return mapping ? arch::direct_map(mapping->physical) : VirtAddr();
}

}  // namespace

// ---- memory ----

const char* patch_memory_has_the_right_access() {
    patch::MachineGuard guard(machine);
    auto before = kernel::page_statistics().free;
    auto memory = machine.reserve({5000, 100, 8192});
    KTAP_CHECK(memory);
    KTAP_CHECK(has_access(memory->text.begin, PageAccess::read_write));
    KTAP_CHECK(memory->text.size() == 8192 && memory->rodata.size() == 4096 && memory->data.size() == 8192);
    VirtAddr text_alias = alias_of(memory->text.begin);
    VirtAddr rodata_alias = alias_of(memory->rodata.begin);
    memory->text.begin.as<u8>()[0] = 0xc3;
    KTAP_CHECK(machine.seal(*memory));
    KTAP_CHECK(has_access(memory->text.begin, PageAccess::read_execute));
    KTAP_CHECK(has_access(VirtAddr(memory->text.end - 1), PageAccess::read_execute));
    KTAP_CHECK(has_access(memory->rodata.begin, PageAccess::read_only));
    KTAP_CHECK(has_access(memory->data.begin, PageAccess::read_write));
    KTAP_CHECK(has_access(text_alias, PageAccess::read_only));
    KTAP_CHECK(has_access(rodata_alias, PageAccess::read_only));
    memory->text.begin.as<void()>()();
    machine.release_memory(*memory);
    KTAP_CHECK(!arch::translate(memory->text.begin));
    KTAP_CHECK(!arch::translate(memory->data.begin));
    KTAP_CHECK(has_access(text_alias, PageAccess::read_write));
    // Tables that the split of large pages needed stay.
    KTAP_CHECK(before - kernel::page_statistics().free < 16);
    return nullptr;
}

const char* released_patch_addresses_stay_away() {
    patch::MachineGuard guard(machine);
    auto first = machine.reserve({4096, 0, 0});
    KTAP_CHECK(first);
    AddressRange old = first->text;
    machine.release_memory(*first);
    for (u32 i = 0; i < 100; ++i) {
        auto next = machine.reserve({3 << 20, 0, 0});
        KTAP_CHECK(next);
        bool overlaps = next->text.overlaps(old);
        machine.release_memory(*next);
        KTAP_CHECK(!overlaps);
        KTAP_CHECK(!arch::translate(old.begin));
    }
    return nullptr;
}

// ---- the image ----

namespace {

// Nobody calls it while its site is live.
[[gnu::noinline]] void never_called() {
    asm volatile("");
}

}  // namespace

const char* image_functions_are_known() {
    auto info = machine.function_at(entry_of(&image_functions_are_known));
    KTAP_CHECK(info);
    KTAP_CHECK(info->name == "_ZN5graft5tests25image_functions_are_knownEv");
    KTAP_CHECK(info->patchability == patch::Patchability::patchable);
    KTAP_CHECK(info->has_return && info->range_count == 1 && info->ranges[0].begin == info->entry);
    KTAP_CHECK(machine.has_symbol(info->name, info->entry));
    KTAP_CHECK(!machine.has_symbol(info->name, VirtAddr(info->entry + 1)));
    KTAP_CHECK(machine.find_global(info->name) == info->entry);
    KTAP_CHECK(!machine.find_global("no_such_name"));
    KTAP_CHECK(!machine.function_at(VirtAddr(info->entry + 1)));
    auto hidden = machine.function_at(entry_of(never_called));
    KTAP_CHECK(hidden && !machine.find_global(hidden->name));
    auto permanent = machine.function_at(entry_of(&arch::graft_switch_context));
    KTAP_CHECK(permanent && permanent->patchability != patch::Patchability::patchable);
    return nullptr;
}

// By their entries: the bounds of the section are places like any other.
const char* boot_functions_are_known() {
    patch::MachineGuard guard(machine);
    const formats::ImageTables& tables = kernel::image_tables();
    AddressRange text = kernel::image_range(kernel::ImageSection::init_text);
    u32 found = 0;
    for (u32 i = 0; i < tables.symbol_count(); ++i) {
        formats::ImageSymbol symbol = tables.symbol(i);
        VirtAddr entry = tables.address(symbol);
        bool is_inside = symbol.type == formats::SymbolType::function && text.contains(entry);
        KTAP_CHECK(symbol.has(formats::kSymbolInitText) == is_inside);
        if (!is_inside) continue;
        ++found;
        std::array<std::byte, 1> byte{};
        KTAP_CHECK(machine.is_init_text(entry) && !machine.is_init_text(entry + 1));
        KTAP_CHECK(!machine.read_image(entry, byte));
    }
    KTAP_CHECK(found > 50);
    KTAP_CHECK(!machine.is_init_text(text.begin) && !machine.is_init_text(text.end));
    return nullptr;
}

const char* image_is_read_without_live_sites() {
    patch::MachineGuard guard(machine);
    VirtAddr entry = entry_of(never_called);
    std::array<std::byte, 16> before{};
    std::array<std::byte, 16> during{};
    KTAP_CHECK(machine.read_image(entry, before));
    const patch::SiteChange live[] = {{entry, entry_of(&image_functions_are_known)}};
    KTAP_CHECK(machine.write_sites(live));
    bool was_live = *entry.as<const volatile u8>() == 0xe9;
    KTAP_CHECK(machine.read_image(entry, during));
    std::array<std::byte, 3> middle{};
    KTAP_CHECK(machine.read_image(VirtAddr(entry + 3), middle));
    const patch::SiteChange settled[] = {{entry, VirtAddr()}};
    KTAP_CHECK(machine.write_sites(settled));
    KTAP_CHECK(was_live);
    KTAP_CHECK(before == during);
    KTAP_CHECK(middle[0] == before[3] && middle[2] == before[5]);
    KTAP_CHECK(*entry.as<const volatile u8>() == 0x0f);
    const patch::SiteChange wrong[] = {{VirtAddr(entry + 1), VirtAddr()}};
    auto refused = machine.write_sites(wrong);
    KTAP_CHECK(!refused && refused.error().failure == patch::MachineFailure::site_mismatch);
    KTAP_CHECK(!machine.read_image(VirtAddr(u64{0x1000}), before));
    return nullptr;
}

}  // namespace graft::tests
