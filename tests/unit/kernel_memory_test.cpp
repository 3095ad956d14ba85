// The page allocator, the heap and the address space against simple models.

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "kernel/pure/address_space.h"
#include "kernel/pure/heap.h"
#include "kernel/pure/page_allocator.h"

namespace graft::kernel {
namespace {

class Pages : public testing::Test {
protected:
    static constexpr u64 kFrames = 4096;

    Pages() : records_(kFrames) {
        allocator_.initialise(records_);
        allocator_.add(16, kFrames - 16 - 100);
    }

    std::vector<PageRecord> records_;
    PageAllocator allocator_;
};

TEST_F(Pages, HandsOutEverythingOnceAndTakesItBack) {
    u64 total = allocator_.statistics().free;
    std::set<u64> seen;
    while (auto frame = allocator_.allocate(1, PageUse::raw)) {
        EXPECT_TRUE(seen.insert(*frame).second);
        EXPECT_GE(*frame, 16u);
        EXPECT_LT(*frame, kFrames - 100);
    }
    EXPECT_EQ(seen.size(), total);
    EXPECT_EQ(allocator_.statistics().free, 0u);
    for (u64 frame : seen) allocator_.release(frame);
    EXPECT_EQ(allocator_.statistics().free, total);
    // Merged again: the largest aligned block that was there at the start is whole.
    EXPECT_TRUE(allocator_.allocate(1024, PageUse::raw));
}

TEST_F(Pages, RandomRunsNeverOverlapAndLeaveNothingBehind) {
    std::mt19937 random(7);
    std::map<u64, u64> live;
    u64 total = allocator_.statistics().free;
    u64 used = 0;
    for (int step = 0; step < 20'000; ++step) {
        if (live.empty() || random() % 2 == 0) {
            u64 count = 1 + random() % 40;
            auto first = allocator_.allocate(count, PageUse::patch);
            if (!first) continue;
            for (const auto& [begin, size] : live) ASSERT_TRUE(*first + count <= begin || begin + size <= *first);
            ASSERT_EQ(allocator_.run_at(*first), count);
            live[*first] = count;
            used += count;
        } else {
            auto victim = std::next(live.begin(), static_cast<long>(random() % live.size()));
            allocator_.release(victim->first);
            used -= victim->second;
            live.erase(victim);
        }
        ASSERT_EQ(allocator_.statistics().free, total - used);
        ASSERT_EQ(allocator_.statistics().by_use[static_cast<usize>(PageUse::patch)], used);
    }
}

TEST_F(Pages, RefusesWhatIsTooLarge) {
    EXPECT_FALSE(allocator_.allocate(PageAllocator::kLargestRun + 1, PageUse::raw));
    EXPECT_FALSE(allocator_.allocate(kFrames, PageUse::raw));
}

TEST_F(Pages, DoubleReleaseDies) {
    auto frame = allocator_.allocate(3, PageUse::raw);
    ASSERT_TRUE(frame);
    allocator_.release(*frame);
    EXPECT_DEATH(allocator_.release(*frame), "");
}

// Pages of the host, with a budget.
class HostPages final : public HeapPages {
public:
    void* allocate_pages(u64 count, PageUse use) override {
        if (count > budget) return nullptr;
        budget -= count;
        auto* pages = static_cast<std::byte*>(std::aligned_alloc(kPageSize, count * kPageSize));
        std::memset(pages, 0xa5, count * kPageSize);
        runs[pages] = {count, use};
        return pages;
    }
    void release_pages(void* pages) override {
        ASSERT_TRUE(runs.contains(pages));
        budget += runs[pages].first;
        runs.erase(pages);
        std::free(pages);
    }
    u64 page_count(const void* pages) const override { return runs.at(const_cast<void*>(pages)).first; }

    ~HostPages() {
        for (const auto& [pages, run] : runs) std::free(pages);
    }

    u64 budget = 10'000;
    std::map<void*, std::pair<u64, PageUse>> runs;
};

class HeapTest : public testing::Test {
protected:
    ~HeapTest() override {
        for (void* object : live_) heap_.release(object);
    }

    void* make(usize size, usize alignment = 16) {
        void* object = heap_.allocate(size, alignment);
        if (object) live_.insert(object);
        return object;
    }
    void drop(void* object) {
        heap_.release(object);
        live_.erase(object);
    }
    std::set<void*> enumerate() {
        std::set<void*> found;
        for (const auto& [pages, run] : pages_.runs) {
            if (run.second == PageUse::heap_large) {
                found.insert(pages);
            } else {
                Heap::for_each_object(pages, [&](VirtAddr begin, u64) { found.insert(begin.as<void>()); });
            }
        }
        return found;
    }

    HostPages pages_;
    Heap heap_{pages_, PageUse::heap_slab, PageUse::heap_large};
    std::set<void*> live_;
};

TEST_F(HeapTest, EnumeratesExactlyTheLiveObjects) {
    std::mt19937 random(11);
    for (int step = 0; step < 20'000; ++step) {
        if (live_.empty() || random() % 3 != 0) {
            usize size = random() % 50 == 0 ? random() % 20'000 : random() % 2'100;
            void* object = make(size);
            ASSERT_NE(object, nullptr);
            ASSERT_GE(heap_.usable_size(object), size);
            std::memset(object, 0x5a, size);
        } else {
            drop(*std::next(live_.begin(), static_cast<long>(random() % live_.size())));
        }
        if (step % 1000 == 0) {
            ASSERT_EQ(enumerate(), live_);
        }
    }
    EXPECT_EQ(enumerate(), live_);
    EXPECT_EQ(heap_.statistics().objects, live_.size());
    while (!live_.empty()) drop(*live_.begin());
    EXPECT_EQ(heap_.statistics().objects, 0u);
    EXPECT_EQ(heap_.statistics().bytes, 0u);
    EXPECT_EQ(heap_.statistics().pages, 0u);
    EXPECT_TRUE(pages_.runs.empty());
}

TEST_F(HeapTest, AlignsAsAsked) {
    for (usize alignment = 16; alignment <= kPageSize; alignment *= 2) {
        for (usize size : {1u, 16u, 60u, 300u, 700u, 1500u, 5000u}) {
            void* object = make(size, alignment);
            ASSERT_NE(object, nullptr);
            EXPECT_TRUE(VirtAddr(object).is_aligned(alignment)) << size << " at " << alignment;
        }
    }
}

TEST_F(HeapTest, ReleasedMemoryIsZeroed) {
    void* keep = make(48);
    void* object = make(48);
    std::memset(object, 0x77, 48);
    drop(object);
    auto* bytes = static_cast<unsigned char*>(object);
    for (int i = 0; i < 48; ++i) EXPECT_EQ(bytes[i], 0);
    (void)keep;
}

TEST_F(HeapTest, RefusesWhenThereAreNoPages) {
    pages_.budget = 1;
    EXPECT_EQ(make(100'000), nullptr);
    EXPECT_NE(make(64), nullptr);
    EXPECT_EQ(make(128), nullptr);
    EXPECT_EQ(heap_.statistics().failures, 2u);
    EXPECT_EQ(make(~usize{0}), nullptr);
}

TEST_F(HeapTest, DoubleReleaseDies) {
    void* keep = make(32);
    void* object = make(32);
    drop(object);
    EXPECT_DEATH(heap_.release(object), "");
    (void)keep;
}

class Addresses : public testing::Test {
protected:
    static constexpr u64 kPages = 512;

    explicit Addresses() : bits_(kPages / 64) {}

    void start(u64 quarantine) {
        space_.initialise(AddressRange::of(VirtAddr(0x10'0000), kPages * kPageSize), bits_, quarantine);
    }

    std::vector<u64> bits_;
    AddressSpace space_;
};

TEST_F(Addresses, PiecesKeepAGuardPageAround) {
    start(0);
    std::vector<VirtAddr> pieces;
    while (auto piece = space_.allocate(3)) pieces.push_back(*piece);
    EXPECT_GT(pieces.size(), 120u);
    for (VirtAddr piece : pieces) {
        EXPECT_FALSE(space_.is_allocated(VirtAddr(piece - 1)));
        EXPECT_TRUE(space_.is_allocated(piece));
        EXPECT_TRUE(space_.is_allocated(VirtAddr(piece + 3 * kPageSize - 1)));
        EXPECT_FALSE(space_.is_allocated(VirtAddr(piece + 3 * kPageSize)));
    }
    for (VirtAddr piece : pieces) space_.release(piece, 3);
    EXPECT_EQ(space_.pages_in_use(), 0u);
    EXPECT_TRUE(space_.allocate(500));
}

TEST_F(Addresses, AReleasedPieceStaysAwayForAWhile) {
    start(20);
    auto first = space_.allocate(1);
    ASSERT_TRUE(first);
    space_.release(*first, 1);
    for (int i = 0; i < 20; ++i) {
        auto other = space_.allocate(200);  // would wrap around to the first at once
        ASSERT_TRUE(other);
        EXPECT_FALSE(AddressRange::of(*other, 200 * kPageSize).contains(*first)) << i;
        space_.release(*other, 200);
        if (i > 0) break;  // two of this size are all that fits while they wait
    }
}

TEST_F(Addresses, WaitingPiecesComeBackWhenAddressesRunOut) {
    start(1000);
    for (int i = 0; i < 50; ++i) {
        auto piece = space_.allocate(200);
        ASSERT_TRUE(piece) << i;
        space_.release(*piece, 200);
    }
}

}  // namespace
}  // namespace graft::kernel
