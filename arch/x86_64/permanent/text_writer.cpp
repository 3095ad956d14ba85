// Executes the steps of a batch of text writes. Each write goes through the one alias page of the writer's own address
// space, whose translation is fresh every time; interrupts are off only for a few sites at a time.

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/memory_map.h"
#include "arch/x86_64/permanent/state.h"
#include "arch/x86_64/sync.h"

namespace graft::arch::permanent {

u64 poke_page_table;
volatile u64* poke_entry;

namespace {

constexpr usize kSitesAtOnce = 16;                // with interrupts off: some microseconds
constexpr u64 kAliasRights = u64{1} << 63 | 0x3;  // present, writable, not executable [intel/vol3 table 4-20]

void write_one(PokeStep step, const Poke& poke) {
    u64 page = poke.site.value & ~(kPageSize - 1);
    // The image is contiguous in physical memory, and call sites lie only in the image.
    *poke_entry = (page - kImageOffset) | kAliasRights;
    invalidate_page(kPokeAlias);
    auto* bytes = reinterpret_cast<volatile u8*>(kPokeAlias + (poke.site.value - page));
    PokeSpan span = written_by(step);
    for (usize index = span.first; index < span.last; ++index) bytes[index] = byte_for(step, poke, index);
}

void write_some(PokeStep step, const Poke* pokes, usize count) {
    InterruptsOff off;
    u64 kernel_space = read_cr3();
    write_cr3(poke_page_table);
    for (usize index = 0; index < count; ++index) write_one(step, pokes[index]);
    *poke_entry = 0;
    write_cr3(kernel_space);
}

void write_all(PokeStep step, const Poke* pokes, usize count) {
    for (usize done = 0; done < count; done += kSitesAtOnce) {
        usize left = count - done;
        write_some(step, pokes + done, left < kSitesAtOnce ? left : kSitesAtOnce);
    }
}

}  // namespace

void write_pokes(const Poke* pokes, usize count) {
    for (usize index = 0; index < kPokeSteps.size(); ++index) {
        PokeStep step = kPokeSteps[index];
        // Every write flushes the alias's translation first, so flush_alias needs no code of its own.
        if (step == PokeStep::flush_alias) continue;
        if (step == PokeStep::synchronise)
            synchronise_processors();
        else
            write_all(step, pokes, count);
    }
}

}  // namespace graft::arch::permanent
