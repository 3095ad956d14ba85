#include "kernel/call_site_table.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "arch/x86_64/call_sites.h"
#include "kernel/code_map.h"
#include "kernel/image.h"
#include "kernel/memory.h"
#include "kernel/panic.h"

namespace graft::kernel {

namespace {

// In the records heap: targets point into patches. Constant after install_image_call_sites(), but for the targets.
constinit std::span<arch::CallSite> sites;

bool is_site(const formats::ImageSymbol& symbol) {
    return symbol.type == formats::SymbolType::function && symbol.has(formats::kSymbolHasSite);
}

// Symbols are sorted by address, the canonical name first: an entry with several names counts once.
template <typename Use>
void for_each_entry(Use&& use) {
    const formats::ImageTables& tables = image_tables();
    VirtAddr last{};
    for (u32 i = 0; i < tables.symbol_count(); ++i) {
        formats::ImageSymbol symbol = tables.symbol(i);
        VirtAddr entry = tables.address(symbol);
        if (!is_site(symbol) || entry == last) continue;
        last = entry;
        use(entry);
    }
}

void check_nop(VirtAddr entry) {
    if (std::memcmp(entry.as<void>(), arch::kSiteNop.data(), arch::kSiteSize) != 0) {
        panic("a call site of the image doesn't hold the NOP");
    }
}

const arch::CallSite* first_site_from(VirtAddr address) {
    return std::lower_bound(sites.data(), sites.data() + sites.size(), address.value,
                            [](const arch::CallSite& site, u64 value) { return site.entry < value; });
}

}  // namespace

void install_image_call_sites() {
    usize count = 0;
    for_each_entry([&](VirtAddr) { ++count; });
    void* memory = records_allocate(count * sizeof(arch::CallSite), alignof(arch::CallSite));
    if (!memory) panic("no memory for the table of call sites");
    auto* table = static_cast<arch::CallSite*>(memory);
    usize filled = 0;
    for_each_entry([&](VirtAddr entry) {
        check_nop(entry);
        auto* site = new (&table[filled++]) arch::CallSite;
        site->entry = entry.value;
        site->target.store(entry.value + arch::kSiteSize, std::memory_order_relaxed);  // published by the install below
    });
    sites = {table, count};
    arch::install_call_sites(sites);
}

bool read_pristine_image(VirtAddr address, std::span<std::byte> bytes) {
    AddressRange wanted = AddressRange::of(address, bytes.size());
    if (wanted.end < wanted.begin || !image_range(ImageSection::whole).contains(wanted)) return false;
    if (image_range(ImageSection::init_text).overlaps(wanted)) return false;
    std::memcpy(bytes.data(), address.as<void>(), bytes.size());
    const arch::CallSite* site = first_site_from(address - (arch::kSiteSize - 1));
    for (; site != sites.data() + sites.size() && site->entry < wanted.end.value; ++site) {
        for (usize i = 0; i < arch::kSiteSize; ++i) {
            VirtAddr place(site->entry + i);
            if (wanted.contains(place)) bytes[place - address] = static_cast<std::byte>(arch::kSiteNop[i]);
        }
    }
    return true;
}

VirtAddr current_target(VirtAddr entry) {
    const arch::CallSite* site = arch::find_call_site(entry);
    return site ? VirtAddr(site->target.load(std::memory_order_acquire)) : entry;  // pairs with the text writer's store
}

u32 index_of(const arch::CallSite& site) {
    return static_cast<u32>(&site - sites.data());
}
arch::CallSite& call_site_at(u32 index) {
    return sites[index];
}

usize call_site_count() {
    return sites.size();
}

}  // namespace graft::kernel
