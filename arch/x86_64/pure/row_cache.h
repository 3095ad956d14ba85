// RowCache: rows of call-frame information that were found before, by pc. Thousands of sleeping tasks stand in the same
// few calls; with a cache each of those is looked up and interpreted once.
//
// Direct-mapped; what isn't there is looked up anew. Only what was found goes in, never an error. Rows of code that has
// been removed must not be found again: whoever removes code raises the generation, after which no new walk can find
// the code any other way, and before its memory can be used again; each walk brings its cache up to date first.
//
// Locking: one walk at a time: those of one processor with interrupts off. A walk that an exception begins may be in
// the middle of another: it uses none.
#pragma once

#include <array>

#include "arch/x86_64/pure/cfi.h"
#include "base/types.h"

namespace graft::arch {

struct FoundRow {
    Row row;
    bool signal_frame;
};

class RowCache {
public:
    void bring_up_to_date(u64 generation) {
        if (generation_ == generation) return;
        for (Entry& entry : entries_) entry.key = kEmpty;
        generation_ = generation;
    }

    const FoundRow* find(VirtAddr pc) const {
        const Entry& entry = entries_[index_of(pc)];
        return entry.key == key_of(pc) && entry.key != kEmpty ? &entry.found : nullptr;
    }

    const FoundRow& store(VirtAddr pc, const FoundRow& found) {
        Entry& entry = entries_[index_of(pc)];
        entry = {key_of(pc), found};
        return entry.found;
    }

private:
    static constexpr usize kEntries = 64;

    // Not the pc itself: a search of memory for pointers into code must not take this for one. No code lies at the last
    // byte of the address space, whose key this is; a walk may ask for it all the same.
    static constexpr u64 kEmpty = 0;

    struct Entry {
        u64 key = kEmpty;
        FoundRow found;
    };

    static constexpr u64 key_of(VirtAddr pc) { return ~pc.value; }
    static constexpr usize index_of(VirtAddr pc) { return (pc.value ^ pc.value >> 6 ^ pc.value >> 12) % kEntries; }

    std::array<Entry, kEntries> entries_{};
    u64 generation_ = 0;
};

}  // namespace graft::arch
