#include "arch/x86_64/poke.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "arch/x86_64/call_sites.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/memory_map.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/permanent/state.h"
#include "base/assert.h"

namespace graft::arch {

namespace {

constexpr u64 kTableRights = 0x3;  // present, writable
constexpr usize kEntries = 512;
// Sites of a batch whose rounds are shared. A larger request is done in several batches: the memory is static because
// this must not fail in the middle.
constexpr usize kBatch = 1024;

using Table = std::array<u64, kEntries>;
alignas(kPageSize) Table top, upper, middle, bottom;

std::array<Poke, kBatch> batch;
// One writer. Pairs: acquire exchange and release store, both in write_sites().
std::atomic<bool> writing{false};

u64 physical_of(const Table& table) {
    return image_physical(VirtAddr(&table)).value;
}

u64 as_number(const SiteBytes& bytes) {
    u64 value = 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
}

class ImageText final : public TextReader {
public:
    SiteBytes read(VirtAddr site) const override {
        SiteBytes bytes;
        for (usize index = 0; index < bytes.size(); ++index) bytes[index] = site.as<const volatile u8>()[index];
        return bytes;
    }
};

Result<SiteBytes, SiteWriteError> bytes_for(VirtAddr entry, VirtAddr target) {
    if (target == entry + kSiteSize) return kSiteNop;
    auto jump = encode_site_jump(entry, target);
    if (!jump) return fail(SiteWriteError{SiteWriteFailure::out_of_reach, entry, jump.error().to.value, 0});
    return *jump;
}

VirtAddr target_of(const SiteWrite& write) {
    return write.target ? write.target : VirtAddr(write.entry + kSiteSize);
}

Result<Poke, SiteWriteError> make_poke(const SiteWrite& write) {
    CallSite* site = find_call_site(write.entry);
    if (!site) return fail(SiteWriteError{SiteWriteFailure::unknown_site, write.entry});
    VirtAddr current(site->target.load(std::memory_order_relaxed));
    return Poke{write.entry, GRAFT_TRY(bytes_for(write.entry, current)),
                GRAFT_TRY(bytes_for(write.entry, target_of(write)))};
}

// The whole request is checked before anything of it is written.
Result<void, SiteWriteError> check_all(std::span<const SiteWrite> writes) {
    ImageText text;
    for (const SiteWrite& write : writes) {
        Poke poke = GRAFT_TRY(make_poke(write));
        auto checked = check_pokes(std::span(&poke, 1), text);
        if (checked) continue;
        return fail(SiteWriteError{SiteWriteFailure::found_foreign, write.entry, as_number(checked.error().found),
                                   as_number(poke.expected)});
    }
    return {};
}

void write_batch(std::span<const SiteWrite> writes) {
    usize count = 0;
    for (const SiteWrite& write : writes) {
        auto poke = make_poke(write);
        GRAFT_ASSERT(poke.has_value());  // check_all() has made the same one
        batch[count++] = *poke;
    }
    // From here on a breakpoint leads to the new target.
    for (const SiteWrite& write : writes)
        find_call_site(write.entry)->target.store(target_of(write).value, std::memory_order_release);
    permanent::write_pokes(batch.data(), count);
}

}  // namespace

void init_poke() {
    top = {};
    auto* kernel = direct_map(kernel_page_table()).as<const u64>();
    for (usize index = kEntries / 2; index < kEntries; ++index) top[index] = kernel[index];
    static_assert(permanent::kPokeAlias < (u64{1} << 30));
    top[0] = physical_of(upper) | kTableRights;
    upper[0] = physical_of(middle) | kTableRights;
    middle[permanent::kPokeAlias >> 21] = physical_of(bottom) | kTableRights;
    permanent::poke_page_table = physical_of(top);
    permanent::poke_entry = &bottom[(permanent::kPokeAlias >> 12) % kEntries];
}

Result<void, SiteWriteError> write_sites(std::span<SiteWrite> writes) {
    bool was_writing = writing.exchange(true, std::memory_order_acquire);
    GRAFT_ASSERT(!was_writing);
    std::sort(writes.begin(), writes.end(),
              [](const SiteWrite& left, const SiteWrite& right) { return left.entry < right.entry; });
    auto checked = check_all(writes);
    for (usize done = 0; checked && done < writes.size(); done += kBatch)
        write_batch(writes.subspan(done, std::min(kBatch, writes.size() - done)));
    writing.store(false, std::memory_order_release);
    return checked;
}

}  // namespace graft::arch
