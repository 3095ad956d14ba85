#include "kernel/clean_pages.h"

#include <new>

#include "arch/x86_64/memory_map.h"
#include "arch/x86_64/sync.h"
#include "kernel/image.h"

namespace graft::kernel {

namespace {

using Words = std::span<std::atomic<u64>>;

AddressRange page_aligned(AddressRange range) {
    return {VirtAddr(range.begin.align_down(kPageSize)), VirtAddr(range.end.align_up(kPageSize))};
}

// Where searched memory is written: by its place in the direct map, and by the other addresses that it has.
std::array<AddressRange, 3> written_regions() {
    return {AddressRange::of(arch::direct_map(PhysAddr{0}), frame_limit() * kPageSize),
            page_aligned(image_range(ImageSection::data)), arch::kPatchRegion};
}

// The image's data may lie beyond the frames that the allocator knows of, should the memory map not count them.
u64 frames_to_watch() {
    u64 image_end = arch::image_physical(image_range(ImageSection::data).end).align_up(kPageSize).value / kPageSize;
    return image_end > frame_limit() ? image_end : frame_limit();
}

}  // namespace

CleanPages* CleanPages::create() {
    u64 words = frames_to_watch() / 64 + 1;
    void* memory = records_allocate(sizeof(CleanPages), alignof(CleanPages));
    void* bits = records_allocate(words * sizeof(std::atomic<u64>), alignof(std::atomic<u64>));
    if (!memory || !bits) {
        if (memory) records_release(memory);
        if (bits) records_release(bits);
        return nullptr;
    }
    auto* first = static_cast<std::atomic<u64>*>(bits);
    for (u64 i = 0; i < words; ++i) new (&first[i]) std::atomic<u64>(0);
    auto* pages = new (memory) CleanPages(Words(first, words));
    watch_pages(pages);
    return pages;
}

void CleanPages::destroy(CleanPages* pages) {
    watch_pages(nullptr);
    pages->join_split();
    void* bits = pages->bits_.data();
    pages->~CleanPages();
    records_release(pages);
    records_release(bits);
}

void CleanPages::follow_writes() {
    visit_written(arch::DirtyBits::clear);
    split_noted();
    arch::flush_tlbs();
}

void CleanPages::follow_last_writes() {
    visit_written(arch::DirtyBits::keep);
}

void CleanPages::visit_written(arch::DirtyBits bits) {
    noted_count_ = 0;
    for (AddressRange region : written_regions()) {
        kernel::visit_written_pages(region, bits,
                                    [this](PhysAddr physical, u64 size) { note_written(physical, size); });
    }
}

void CleanPages::note_written(PhysAddr physical, u64 size) {
    u64 first = physical.value / kPageSize;
    if (size != kPageSize && is_clean_somewhere(first, size / kPageSize)) note_large(physical);
    clear_run(first, size / kPageSize);
}

// Only what was looked through before costs anything when it is written again.
bool CleanPages::is_clean_somewhere(u64 first, u64 count) const {
    for (u64 frame = first; frame < first + count && frame / 64 < bits_.size(); frame += 64) {
        if (word_of(frame).load(std::memory_order_relaxed) != 0) return true;
    }
    return false;
}

void CleanPages::note_large(PhysAddr physical) {
    if (split_count_ + noted_count_ < split_.size()) split_[split_count_ + noted_count_++] = physical;
}

void CleanPages::clear_run(u64 first, u64 count) {
    for (u64 frame = first; frame < first + count && frame / 64 < bits_.size();) {
        if (frame % 64 == 0 && first + count - frame >= 64) {
            word_of(frame).store(0, std::memory_order_relaxed);
            frame += 64;
        } else {
            clear(frame++);
        }
    }
}

// A page that is noted and can't be split is noted again when it is written again.
void CleanPages::split_noted() {
    usize end = split_count_ + noted_count_;
    noted_count_ = 0;
    for (usize i = split_count_; i < end; ++i) {
        PhysAddr large = split_[i];
        auto split = split_page(arch::direct_map(large));
        if (split && *split) split_[split_count_++] = large;
    }
}

// The tables are released after a flush: a processor may have remembered where they are.
void CleanPages::join_split() {
    usize count = 0;
    for (usize i = 0; i < split_count_; ++i) {
        void* table = join_pages(arch::direct_map(split_[i]));
        if (table) split_[count++] = arch::direct_map_physical(VirtAddr(table));
    }
    split_count_ = 0;
    if (count == 0) return;
    arch::flush_tlbs();
    for (usize i = 0; i < count; ++i) release_pages(arch::direct_map(split_[i]).as<void>());
}

}  // namespace graft::kernel
