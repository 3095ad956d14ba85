// CleanPages: which page frames were looked through and have not been written since. It lets a search of all memory go
// on while the system runs: what was written meanwhile is looked at again, until little enough is left to stop the
// processors for it.
//
// One bit a frame, set by whoever is about to look through the page, cleared when
//   - a processor has written the page, by whatever address (dirty bits of the direct map, of the image's data, of the
//     patch region),
//   - the frame is given out anew (its contents may have changed by an address that is mapped no longer),
//   - the looking has found something there.
// So a bit that is set says: nothing was found, and what was found out still holds.
//
// Large pages of the direct map that are written while this watches are split, so that a written word doesn't cost
// 2 MiB; they are joined again at the end. Where there is no memory for the split, they are looked through whole.
//
// Locking: bits are atomic; everything else belongs to the one task that searches.
#pragma once

#include <array>
#include <atomic>
#include <span>

#include "base/types.h"
#include "kernel/memory.h"

namespace graft::kernel {

class CleanPages final : public PageWatcher {
public:
    // Null when there is no memory for the bits. No page is clean. Watches the allocator from now on.
    [[nodiscard]] static CleanPages* create();
    // Joins what was split, ends the watching and releases the object.
    static void destroy(CleanPages* pages);

    CleanPages(const CleanPages&) = delete;
    CleanPages& operator=(const CleanPages&) = delete;

    bool is_clean(u64 frame) const { return (word_of(frame).load(std::memory_order_relaxed) & bit_of(frame)) != 0; }
    void set_clean(u64 frame) { word_of(frame).fetch_or(bit_of(frame), std::memory_order_relaxed); }
    void clear(u64 frame) { word_of(frame).fetch_and(~bit_of(frame), std::memory_order_relaxed); }

    // What was written since the last call isn't clean any more, and what is written from the end of this call on will
    // be noticed by the next. Context: task, no spinlock held: flushes all TLBs.
    void follow_writes();
    // The same for the last time: what is written afterwards isn't noticed. Context: the world is stopped.
    void follow_last_writes();

    // ---- PageWatcher
    void pages_allocated(u64 first_frame, u64 count) override { clear_run(first_frame, count); }

private:
    static constexpr usize kMostSplit = 512;  // large pages

    explicit CleanPages(std::span<std::atomic<u64>> bits) : bits_(bits) {}

    static u64 bit_of(u64 frame) { return u64{1} << (frame % 64); }
    std::atomic<u64>& word_of(u64 frame) const { return bits_[frame / 64]; }
    void clear_run(u64 first, u64 count);
    bool is_clean_somewhere(u64 first, u64 count) const;
    void note_written(PhysAddr physical, u64 size);
    void note_large(PhysAddr large);
    void visit_written(arch::DirtyBits bits);
    void split_noted();
    void join_split();

    std::span<std::atomic<u64>> bits_;
    std::array<PhysAddr, kMostSplit> split_{};  // large pages: split, and behind those the ones to be split
    usize split_count_ = 0;
    usize noted_count_ = 0;
};

}  // namespace graft::kernel
