#include "kernel/patch_memory.h"

#include <cstring>
#include <new>

#include "arch/x86_64/memory_map.h"
#include "arch/x86_64/sync.h"
#include "base/assert.h"
#include "base/intrusive_list.h"
#include "kernel/memory.h"
#include "kernel/pure/address_space.h"

namespace graft::kernel {

namespace {

// Text, rodata, data, and the trampolines of its transition.
constexpr u64 kPiecesPerLoad = 4;

// The part of the region whose page tables exist from the start: a load takes no memory that its unloading leaves.
// Enough for what is loaded and waits, unless patches are large.
constexpr u64 kPreparedSize = 64 << 20;

struct Piece {
    AddressRange range;  // empty: not there
    void* pages = nullptr;
    bool mapped = false;
};

// One reservation; in the records heap.
struct Holdings {
    Piece text;
    Piece rodata;
    Piece data;
    ListHook hook;
};

constinit AddressSpace addresses;
constinit std::array<u64, arch::kPatchRegion.size() / kPageSize / 64> address_bits{};
constinit IntrusiveList<Holdings, &Holdings::hook> all;

patch::MachineError no_memory(std::string_view what) {
    return {patch::MachineFailure::no_memory, {}, 0, 0, what};
}

arch::PagingResult<void> protect_alias(const Piece& piece, arch::PageAccess access) {
    return protect_pages(VirtAddr(piece.pages), piece.range.size(), access);
}

patch::MachineResult<void> make(Piece& piece, u64 size) {
    if (size == 0) return {};
    u64 pages = pages_for(size);
    piece.pages = allocate_pages(pages, PageUse::patch);
    if (!piece.pages) return fail(no_memory("pages for the patch"));
    std::memset(piece.pages, 0, pages * kPageSize);
    auto begin = addresses.allocate(pages);
    if (!begin) return fail(no_memory("addresses near the image"));
    piece.range = AddressRange::of(*begin, pages * kPageSize);
    PhysAddr physical = arch::direct_map_physical(VirtAddr(piece.pages));
    if (!map_pages(*begin, physical, piece.range.size(), arch::PageAccess::read_write)) {
        return fail(no_memory("page tables for the patch"));
    }
    piece.mapped = true;
    return {};
}

patch::MachineResult<void> seal(const Piece& piece, arch::PageAccess access) {
    if (piece.range.empty()) return {};
    // The alias first: at no time is the text executable and anywhere writable.
    if (!protect_alias(piece, arch::PageAccess::read_only)) return fail(no_memory("page tables of the direct map"));
    if (!protect_pages(piece.range.begin, piece.range.size(), access))
        return fail(no_memory("page tables of the patch"));
    return {};
}

void unmap(Piece& piece) {
    if (!piece.mapped) return;
    auto unmapped = unmap_pages(piece.range.begin, piece.range.size());
    GRAFT_ASSERT(unmapped);
    // Fails only where a large page had to be split first, and then nothing was protected there.
    (void)protect_alias(piece, arch::PageAccess::read_write).has_value();
}

// After the flush: nobody reaches the pages by the old addresses.
void give_back(Piece& piece) {
    if (!piece.range.empty()) addresses.release(piece.range.begin, piece.range.size() / kPageSize);
    if (piece.pages) release_pages(piece.pages);
}

void release(Holdings& holdings) {
    unmap(holdings.text);
    unmap(holdings.rodata);
    unmap(holdings.data);
    arch::flush_tlbs();
    give_back(holdings.text);
    give_back(holdings.rodata);
    give_back(holdings.data);
    holdings.~Holdings();
    records_release(&holdings);
}

patch::MachineResult<void> make_pieces(Holdings& holdings, const patch::MemoryRequest& request) {
    GRAFT_CHECK(make(holdings.text, request.text_size));
    GRAFT_CHECK(make(holdings.rodata, request.rodata_size));
    return make(holdings.data, request.data_size);
}

Holdings& holdings_of(const patch::PatchMemory& memory) {
    GRAFT_ASSERT(memory.handle != 0);
    return *reinterpret_cast<Holdings*>(memory.handle);
}

// Has all page tables made that loads will need; those of the arena by giving its pages the access they have.
void make_page_tables() {
    prepare_page_tables(AddressRange::of(arch::kPatchRegion.begin, kPreparedSize));
    AddressRange arena = patch_arena();
    if (arena.empty()) return;
    auto split = protect_pages(arena.begin, arena.size(), arch::PageAccess::read_write);
    GRAFT_ASSERT(split);
}

}  // namespace

void init_patch_memory() {
    make_page_tables();
    addresses.initialise(arch::kPatchRegion, address_bits, kQuarantineLoads * kPiecesPerLoad);
}

patch::MachineResult<patch::PatchMemory> reserve_patch_memory(const patch::MemoryRequest& request) {
    void* record = records_allocate(sizeof(Holdings), alignof(Holdings));
    if (!record) return fail(no_memory("a record for the patch's memory"));
    auto* holdings = new (record) Holdings;
    auto made = make_pieces(*holdings, request);
    if (!made) {
        release(*holdings);
        return std::unexpected(made.error());
    }
    all.push_back(*holdings);
    return patch::PatchMemory{holdings->text.range, holdings->rodata.range, holdings->data.range,
                              reinterpret_cast<u64>(holdings)};
}

patch::MachineResult<void> seal_patch_memory(const patch::PatchMemory& memory) {
    Holdings& holdings = holdings_of(memory);
    GRAFT_CHECK(seal(holdings.text, arch::PageAccess::read_execute));
    GRAFT_CHECK(seal(holdings.rodata, arch::PageAccess::read_only));
    arch::flush_tlbs();
    return {};
}

void release_patch_memory(const patch::PatchMemory& memory) {
    Holdings& holdings = holdings_of(memory);
    all.remove(holdings);
    release(holdings);
}

void for_each_patch_data(PatchDataVisitor& visitor) {
    for (Holdings& holdings : all) {
        if (!holdings.data.range.empty()) visitor.visit(holdings.data.range, VirtAddr(holdings.data.pages));
    }
}

}  // namespace graft::kernel
