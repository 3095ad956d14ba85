// Shadow variables over threads: the typed interface of patch/shadow.h upon a store whose system is the host.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "patch/shadow.h"
#include "patch/shadow_store.h"

namespace graft::patch {
namespace {

class HostShadowSystem final : public ShadowSystem {
public:
    u64 lock() override {
        mutex_.lock();
        return 0;
    }
    void unlock(u64) override { mutex_.unlock(); }
    void* allocate(usize size, usize alignment) override {
        bool counts = fail_at > 0;
        if (counts) --fail_at;
        if (counts && fail_at == 0) return nullptr;
        live.fetch_add(1);
        return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    }
    void release(void* memory) override {
        live.fetch_sub(1);
        std::free(memory);
    }
    u64 current_task() override { return task; }
    void pause() override {
        pauses.fetch_add(1);
        now += pause_ns;
        std::this_thread::yield();
    }
    u64 now_ns() override { return now.load(); }

    static thread_local u64 task;
    std::atomic<u64> pauses{0};
    std::atomic<u64> now{0};
    std::atomic<u64> pause_ns{10'000'000};  // how much time a pause takes
    std::atomic<i64> live{0};
    int fail_at = 0;  // the how-manieth allocation from now on fails; 0: none

private:
    std::mutex mutex_;
};

thread_local u64 HostShadowSystem::task = 1;
HostShadowSystem host;
ShadowStore* store = nullptr;

struct Counted {
    explicit Counted(u64 value) : value(value), twin(value) { ++made; }
    ~Counted() {
        value = 0;
        ++ended;
    }
    u64 value;
    u64 twin;
    static inline std::atomic<u64> made{0};
    static inline std::atomic<u64> ended{0};
};

constexpr u64 kId = 7;
using CountedOf = ShadowVariable<Counted, kId>;

class Shadow : public testing::Test {
protected:
    Shadow() {
        store = &store_;
        Counted::made = 0;
        Counted::ended = 0;
        host.pauses = 0;
        host.fail_at = 0;
    }
    ~Shadow() override {
        (void)store_.end_all(kId, nullptr);
        (void)store_.end_all(kId + 1, nullptr);
        EXPECT_EQ(host.live.load(), 0) << "an empty store holds memory";
        store = nullptr;
    }

    ShadowStore store_{host};
    std::array<u64, 4096> objects_{};
};

TEST_F(Shadow, IsFoundByObjectAndId) {
    using Other = ShadowVariable<u32, kId + 1>;
    EXPECT_EQ(CountedOf::get(&objects_[0]), nullptr);
    Counted* made = CountedOf::alloc(&objects_[0], 5u);
    ASSERT_NE(made, nullptr);
    EXPECT_EQ(made->value, 5u);
    EXPECT_EQ(CountedOf::get(&objects_[0]), made);
    EXPECT_EQ(CountedOf::get(&objects_[1]), nullptr);
    EXPECT_EQ(Other::get(&objects_[0]), nullptr);
    ASSERT_NE(Other::alloc(&objects_[0], 9u), nullptr);
    EXPECT_EQ(*Other::get(&objects_[0]), 9u);
    EXPECT_EQ(CountedOf::alloc(&objects_[0], 6u), nullptr) << "there is one already";
    EXPECT_EQ(CountedOf::get_or_alloc(&objects_[0], 6u), made);
    EXPECT_EQ(Counted::made, 1u);
    EXPECT_TRUE(CountedOf::free(&objects_[0]));
    EXPECT_FALSE(CountedOf::free(&objects_[0]));
    EXPECT_EQ(Counted::ended, 1u);
    EXPECT_EQ(CountedOf::get(&objects_[0]), nullptr);
    EXPECT_EQ(*Other::get(&objects_[0]), 9u);
}

TEST_F(Shadow, FreeAllTakesOneIdOnly) {
    using Other = ShadowVariable<u32, kId + 1>;
    for (u64& object : objects_) {
        ASSERT_NE(CountedOf::alloc(&object, 1u), nullptr);
        ASSERT_NE(Other::alloc(&object, 2u), nullptr);
    }
    EXPECT_EQ(store_.count(kId), objects_.size());
    for (u64& object : objects_) ASSERT_EQ(*Other::get(&object), 2u);
    EXPECT_EQ(CountedOf::free_all(), objects_.size());
    EXPECT_EQ(Counted::ended, objects_.size());
    for (u64& object : objects_) ASSERT_TRUE(CountedOf::get(&object) == nullptr && *Other::get(&object) == 2u);
    EXPECT_EQ(store_.end_all(kId + 1, Other::destroy), objects_.size());
}

TEST_F(Shadow, KeepsAlignment) {
    struct alignas(256) Wide {
        u64 word = 3;
    };
    using WideOf = ShadowVariable<Wide, kId>;
    Wide* made = WideOf::alloc(&objects_[0]);
    ASSERT_NE(made, nullptr);
    EXPECT_EQ(reinterpret_cast<u64>(made) % 256, 0u);
    EXPECT_TRUE(WideOf::free(&objects_[0]));
}

TEST_F(Shadow, IsNotSeenBeforeItIsBuilt) {
    struct Curious {
        explicit Curious(const void* object) {
            seen = ShadowVariable<Curious, kId>::get(object) != nullptr;
            // Its own constructor would wait for itself.
            nested = ShadowVariable<Curious, kId>::get_or_alloc(object, object) != nullptr;
            freed = ShadowVariable<Curious, kId>::free(object);
        }
        bool seen = true;
        bool nested = true;
        bool freed = true;
    };
    auto* made = ShadowVariable<Curious, kId>::get_or_alloc(&objects_[0], static_cast<const void*>(&objects_[0]));
    ASSERT_NE(made, nullptr);
    EXPECT_FALSE(made->seen || made->nested || made->freed);
    EXPECT_EQ(host.pauses, 0u);
}

TEST_F(Shadow, AConstructorMayMakeOthers) {
    struct Outer {
        explicit Outer(const void* object) : inner(CountedOf::get_or_alloc(object, 4u)) {}
        Counted* inner;
    };
    using OuterOf = ShadowVariable<Outer, kId + 1>;
    Outer* made = OuterOf::alloc(&objects_[0], static_cast<const void*>(&objects_[0]));
    ASSERT_NE(made, nullptr);
    EXPECT_EQ(made->inner, CountedOf::get(&objects_[0]));
}

TEST_F(Shadow, AnInterruptDoesNotWaitForWhomItInterrupted) {
    auto begun = store_.begin(&objects_[0], kId, 8, 8, ShadowStore::IfThere::share);
    ASSERT_TRUE(begun.is_new);
    HostShadowSystem::task = 0;
    EXPECT_EQ(CountedOf::get_or_alloc(&objects_[0], 1u), nullptr);
    HostShadowSystem::task = 1;
    EXPECT_EQ(host.pauses, 0u);
}

TEST_F(Shadow, NobodyWaitsForEverForABuilderThatIsGone) {
    ASSERT_TRUE(store_.begin(&objects_[0], kId, 8, 8, ShadowStore::IfThere::share).is_new);
    HostShadowSystem::task = 2;
    EXPECT_EQ(CountedOf::get_or_alloc(&objects_[0], 1u), nullptr);
    HostShadowSystem::task = 1;
    EXPECT_GT(host.pauses, 0u);
    EXPECT_EQ(store_.end_all(kId, CountedOf::destroy), 1u) << "what was left half-made is counted";
    EXPECT_EQ(Counted::ended, 0u) << "and not destroyed";
}

TEST_F(Shadow, AFreedObjectLeavesNothingToItsSuccessor) {
    ASSERT_NE(CountedOf::alloc(&objects_[0], 1u), nullptr);
    ASSERT_NE(CountedOf::alloc(&objects_[1], 2u), nullptr);
    store_.note_freed(&objects_[0]);
    EXPECT_EQ(CountedOf::get(&objects_[0]), nullptr);
    EXPECT_FALSE(CountedOf::free(&objects_[0]));
    EXPECT_EQ(Counted::ended, 0u) << "nothing is destroyed in the middle of a release";
    EXPECT_EQ(store_.count(kId), 2u);
    Counted* next = CountedOf::get_or_alloc(&objects_[0], 3u);
    ASSERT_NE(next, nullptr);
    EXPECT_EQ(next->value, 3u);
    EXPECT_EQ(Counted::ended, 1u);
    EXPECT_EQ(store_.count(kId), 2u);
    EXPECT_EQ(CountedOf::get(&objects_[1])->value, 2u);
}

TEST_F(Shadow, AnObjectFreedDuringConstructionLeavesNothing) {
    auto begun = store_.begin(&objects_[0], kId, sizeof(Counted), alignof(Counted), ShadowStore::IfThere::share);
    ASSERT_TRUE(begun.is_new);
    store_.note_freed(&objects_[0]);
    EXPECT_EQ(store_.take_stale(kId), nullptr) << "it is being built";
    new (begun.data) Counted(1);
    store_.publish(begun.data);
    EXPECT_EQ(CountedOf::get(&objects_[0]), nullptr);
    void* stale = store_.take_stale(kId);
    ASSERT_EQ(stale, begun.data);
    CountedOf::destroy(stale);
    store_.release(stale);
}

TEST_F(Shadow, NoMemoryIsNoVariable) {
    for (int fail_at = 1; fail_at <= 2; ++fail_at) {
        host.fail_at = fail_at;
        EXPECT_EQ(CountedOf::alloc(&objects_[0], 1u), nullptr);
        EXPECT_EQ(host.live.load(), 0);
    }
    // The table doesn't grow without memory, and works on.
    for (u64& object : objects_) {
        host.fail_at = 1;
        Counted* made = CountedOf::alloc(&object, 1u);
        if (made == nullptr) {
            host.fail_at = 0;
            made = CountedOf::alloc(&object, 1u);
        }
        ASSERT_NE(made, nullptr);
    }
    host.fail_at = 0;
    for (u64& object : objects_) ASSERT_TRUE(CountedOf::free(&object));
}

TEST_F(Shadow, OneConstructorForManyThreads) {
    constexpr int kThreads = 4;
    constexpr int kRounds = 300;
    host.pause_ns = 0;  // nobody gives up on a thread that the host doesn't run for a while
    std::atomic<int> arrived{0};
    std::atomic<u64> wrong{0};
    auto work = [&](u64 task) {
        HostShadowSystem::task = task;
        for (int round = 0; round < kRounds; ++round) {
            arrived.fetch_add(1);
            while (arrived.load() < kThreads * (round + 1)) std::this_thread::yield();
            Counted* mine = CountedOf::get_or_alloc(&objects_[static_cast<usize>(round)], 77u);
            if (mine == nullptr || mine->value != 77 || mine->twin != 77) wrong.fetch_add(1);
        }
    };
    std::vector<std::thread> threads;
    for (u64 i = 1; i <= kThreads; ++i) threads.emplace_back(work, i);
    for (auto& thread : threads) thread.join();
    host.pause_ns = 10'000'000;
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(Counted::made, u64{kRounds});
    EXPECT_EQ(store_.end_all(kId, CountedOf::destroy), usize{kRounds});
    EXPECT_EQ(Counted::ended, u64{kRounds});
}

TEST_F(Shadow, EachIsEndedOnceWhoeverFrees) {
    constexpr int kThreads = 4;
    auto work = [&](u64 task) {
        HostShadowSystem::task = task;
        std::mt19937 random(static_cast<unsigned>(task));
        for (int i = 0; i < 4000; ++i) {
            u64& object = objects_[random() % 64];
            switch (random() % 6) {
                case 0:
                    (void)CountedOf::alloc(&object, 1u);
                    break;
                case 1:
                    (void)CountedOf::get_or_alloc(&object, 1u);
                    break;
                case 2:
                case 3:
                    CountedOf::free(&object);
                    break;
                case 4:
                    store->note_freed(&object);
                    break;
                default:
                    if (random() % 64 == 0) CountedOf::free_all();
            }
        }
    };
    std::vector<std::thread> threads;
    for (u64 i = 1; i <= kThreads; ++i) threads.emplace_back(work, i);
    for (auto& thread : threads) thread.join();
    u64 left = store_.end_all(kId, CountedOf::destroy);
    EXPECT_EQ(Counted::made, Counted::ended);
    EXPECT_LE(left, Counted::made);
    EXPECT_GT(Counted::made, 1000u);
}

// A plain map says what must be there.
TEST_F(Shadow, AgreesWithAMapOverRandomHistories) {
    std::mt19937 random(11);
    std::map<const void*, u64> model;
    for (u64 i = 1; i <= 60'000; ++i) {
        u64& object = objects_[random() % objects_.size()];
        bool is_there = model.contains(&object);
        switch (random() % 5) {
            case 0:
            case 1:
                ASSERT_EQ(CountedOf::alloc(&object, i) != nullptr, !is_there);
                model.try_emplace(&object, i);
                break;
            case 2:
                ASSERT_EQ(CountedOf::free(&object), is_there);
                model.erase(&object);
                break;
            case 3:
                if (random() % 8 == 0) {
                    store_.note_freed(&object);
                    model.erase(&object);
                }
                break;
            default: {
                Counted* found = CountedOf::get(&object);
                ASSERT_EQ(found != nullptr, is_there);
                if (is_there) {
                    ASSERT_EQ(found->value, model[&object]);
                }
            }
        }
    }
}

}  // namespace
}  // namespace graft::patch

extern "C" {
using graft::u64;
using graft::usize;
using graft::patch::ShadowStore;

void* graft_shadow_get(const void* object, u64 id) {
    return graft::patch::store->get(object, id);
}
void* graft_shadow_begin(const void* object, u64 id, usize size, usize alignment, bool share, bool* is_new) {
    auto if_there = share ? ShadowStore::IfThere::share : ShadowStore::IfThere::refuse;
    auto begun = graft::patch::store->begin(object, id, size, alignment, if_there);
    *is_new = begun.is_new;
    return begun.data;
}
void graft_shadow_publish(void* data) {
    graft::patch::store->publish(data);
}
void* graft_shadow_take(const void* object, u64 id) {
    return graft::patch::store->take(object, id);
}
void* graft_shadow_take_any(u64 id) {
    return graft::patch::store->take_any(id);
}
void* graft_shadow_take_stale(u64 id) {
    return graft::patch::store->take_stale(id);
}
void graft_shadow_release(void* data) {
    graft::patch::store->release(data);
}
}
