// Shadow variables over the kernel's own heap, lock and processors; what they are in detail the unit tests say.
#include <array>
#include <atomic>

#include "arch/x86_64/cpu.h"
#include "kernel/memory.h"
#include "kernel/shadow.h"
#include "kernel/task.h"
#include "patch/shadow.h"
#include "tests/guest/kernel/tests.h"
#include "tests/guest/shared/ktap.h"

namespace graft::tests {

namespace {

using kernel::TaskHandle;

constexpr u64 kId = 0x5d0;
constexpr u32 kTasks = 8;
constexpr u32 kRounds = 400;
constexpr u64 kAlive = 0xa11fe;

struct Tracked {
    // Sleeps half-way, so that others come while it is half-made.
    explicit Tracked(bool slow) {
        made.fetch_add(1);
        if (slow) kernel::yield();
        mark = kAlive;
    }
    ~Tracked() {
        mark = 0;
        ended.fetch_add(1);
    }
    u64 mark = 0;
    static inline std::atomic<u64> made{0};
    static inline std::atomic<u64> ended{0};
};
using TrackedOf = patch::ShadowVariable<Tracked, kId>;

struct Shared {
    std::array<u64, kRounds> objects{};
    std::atomic<u32> arrived{0};
    std::atomic<u32> wrong{0};
};

void get_or_alloc_all(void* argument) {
    auto& shared = *static_cast<Shared*>(argument);
    for (u32 round = 0; round < kRounds; ++round) {
        shared.arrived.fetch_add(1);
        while (shared.arrived.load() < kTasks * (round + 1)) kernel::yield();
        Tracked* variable = TrackedOf::get_or_alloc(&shared.objects[round], round % 4 == 0);
        if (variable == nullptr || variable->mark != kAlive) shared.wrong.fetch_add(1);
    }
}

void attach_and_free(void* argument) {
    auto& shared = *static_cast<Shared*>(argument);
    u64 random = kernel::current_task().id * 0x9e3779b97f4a7c15ull + 1;
    for (u32 i = 0; i < 3000; ++i) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        u64& object = shared.objects[(random >> 33) % 32];
        switch ((random >> 56) % 4) {
            case 0:
                (void)TrackedOf::alloc(&object, false);
                break;
            case 1:
                if (TrackedOf::get_or_alloc(&object, false) == nullptr) shared.wrong.fetch_add(1);
                break;
            default:
                TrackedOf::free(&object);
        }
    }
}

bool run_tasks(kernel::TaskFunction function, Shared& shared) {
    std::array<TaskHandle, kTasks> handles;
    bool all = true;
    for (TaskHandle& handle : handles) {
        auto made = kernel::create_task(function, &shared, {});
        all = all && made;
        if (made) handle = std::move(*made);
    }
    for (TaskHandle& handle : handles) {
        if (handle) handle.join();
    }
    return all;
}

void reset_counts() {
    Tracked::made = 0;
    Tracked::ended = 0;
}

constinit Shared shared;

}  // namespace

const char* shadow_variables_are_made_once() {
    reset_counts();
    shared.arrived = 0;
    shared.wrong = 0;
    KTAP_CHECK(run_tasks(get_or_alloc_all, shared));
    KTAP_CHECK(shared.wrong == 0);
    KTAP_CHECK(Tracked::made == kRounds);
    KTAP_CHECK(kernel::shadow_store().count(kId) == kRounds);
    KTAP_CHECK(TrackedOf::free_all() == kRounds);
    KTAP_CHECK(Tracked::ended == kRounds);
    return nullptr;
}

const char* shadow_variables_are_ended_once() {
    reset_counts();
    shared.wrong = 0;
    u64 used = kernel::heap_statistics().bytes;
    KTAP_CHECK(run_tasks(attach_and_free, shared));
    KTAP_CHECK(shared.wrong == 0);
    (void)kernel::shadow_store().end_all(kId, TrackedOf::destroy);
    KTAP_CHECK(Tracked::made > 1000 && Tracked::made == Tracked::ended);
    KTAP_CHECK(kernel::heap_statistics().bytes == used);
    return nullptr;
}

const char* shadow_variables_without_interrupts() {
    reset_counts();
    u64 object = 0;
    arch::disable_interrupts();
    Tracked* made = TrackedOf::get_or_alloc(&object, false);
    bool is_found = TrackedOf::get(&object) == made;
    bool is_freed = TrackedOf::free(&object);
    // One that somebody else is building can't be waited for here.
    auto begun = kernel::shadow_store().begin(&object, kId, 8, 8, patch::ShadowStore::IfThere::share);
    bool gives_up = TrackedOf::get_or_alloc(&object, false) == nullptr;
    bool are_off = !arch::interrupts_enabled();
    arch::enable_interrupts();
    usize left = kernel::shadow_store().end_all(kId, TrackedOf::destroy);
    KTAP_CHECK(made != nullptr && is_found && is_freed);
    KTAP_CHECK(begun.is_new && gives_up && are_off);
    KTAP_CHECK(left == 1);
    KTAP_CHECK(Tracked::made == 1 && Tracked::ended == 1);
    return nullptr;
}

const char* shadow_variables_go_with_heap_objects() {
    reset_counts();
    void* object = kernel::heap_allocate(64);
    KTAP_CHECK(object && TrackedOf::alloc(object, false) != nullptr);
    VirtAddr address(object);
    kernel::heap_release(object);
    KTAP_CHECK(TrackedOf::get(address.as<>()) == nullptr);
    KTAP_CHECK(Tracked::ended == 0);
    u64 other = 0;
    KTAP_CHECK(TrackedOf::alloc(&other, false) != nullptr);  // tidies up
    KTAP_CHECK(Tracked::ended == 1);
    KTAP_CHECK(TrackedOf::free_all() == 1);
    return nullptr;
}

}  // namespace graft::tests
