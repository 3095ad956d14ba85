// Faults as it is ordered to, and in the callbacks of a state.
#include <cstring>

#include "arch/x86_64/cpu.h"
#include "kernel/clock.h"
#include "kernel/timers.h"
#include "kernel/work.h"
#include "patch/author.h"
#include "patch/shadow.h"
#include "tests/guest/contain/job.h"

GRAFT_PATCH("faulty");
GRAFT_PATCH_SET("faults");

namespace graft::contain_test {
namespace {

constinit kernel::SpinLock some_lock{kernel::LockRank::shadow};
constinit kernel::Mutex some_mutex;

// Null and 0, of which the compiler knows nothing.
constinit u64* volatile nobody = nullptr;
u64* nowhere() {
    return nobody;
}
u64 zero() {
    return reinterpret_cast<u64>(nobody);
}

[[gnu::noinline]] u64 deep(u64 level) {
    volatile u64 room[32] = {level};
    return level == ~u64{0} ? 0 : deep(level + 1) + room[0];
}

[[gnu::noinline]] u64 read_for_me(const u64* from) {
    return *from + 1;
}

// Where it faults, the register that its frame is found by isn't what the frame information says.
[[gnu::noinline]] void fault_askew(u64* to) {
    asm volatile(
        "movq %%rbp, %%rcx\n\t"
        "xorl %%ebp, %%ebp\n\t"
        "movq $1, (%0)\n\t"
        "movq %%rcx, %%rbp"
        :
        : "r"(to)
        : "rcx", "memory", "cc");
}

void fault(Order& order) {
    u64* to = nowhere();
    switch (order.fault) {
        case Fault::none:
        case Fault::original:
            return;
        case Fault::read:
            order.done += *const_cast<volatile u64*>(to);
            return;
        case Fault::write:
            *const_cast<volatile u64*>(to) = 1;
            return;
        case Fault::helper:
            order.done += read_for_me(to);
            return;
        case Fault::memcpy:
            std::memcpy(to, &order, 4096 * (1 + zero()));
            return;
        case Fault::divide:
            order.done = order.done / zero();
            return;
        case Fault::opcode:
            asm volatile("ud2");
            return;
        case Fault::protection:
            *reinterpret_cast<volatile u64*>((zero() | 1) << 48) = 1;
            return;
        case Fault::late:
            stay();
            order.done += *const_cast<volatile u64*>(to);
            return;
        case Fault::spinlock: {
            kernel::SpinGuard<kernel::IrqSave> guard(some_lock);
            *const_cast<volatile u64*>(to) = 1;
            return;
        }
        case Fault::mutex: {
            kernel::MutexGuard guard(some_mutex);
            *const_cast<volatile u64*>(to) = 1;
            return;
        }
        case Fault::interrupts: {
            arch::InterruptsOff off;
            *const_cast<volatile u64*>(to) = 1;
            return;
        }
        case Fault::anchor: {
            kernel::WakeUp alarm(kernel::now_ns() + 1'000'000'000'000);
            *const_cast<volatile u64*>(to) = 1;
            return;
        }
        case Fault::timer: {
            kernel::Timer timer([](void*) {}, nullptr);
            timer.set(kernel::now_ns() + 1'000'000'000'000);
            *const_cast<volatile u64*>(to) = 1;
            return;
        }
        case Fault::work: {
            // The first one keeps the task busy, so that the second one stays in its queue.
            kernel::WorkItem slow([](void*) { stay(); }, nullptr);
            kernel::WorkItem queued([](void*) {}, nullptr);
            slow.queue();
            queued.queue();
            *const_cast<volatile u64*>(to) = 1;
            return;
        }
        case Fault::overflow:
            order.done += deep(0);
            return;
        case Fault::unwindable:
            fault_askew(to);
            return;
        case Fault::jump:
            reinterpret_cast<void (*)()>(to)();
            return;
        case Fault::stay:
            stay();
            return;
    }
}

bool do_job_new(Order& order) {
    fault(order);
    ++order.done;
    return true;
}

// ---- the state

struct Marked {
    u64 number = 0;
    ~Marked();
};
using MarkOf = patch::ShadowVariable<Marked, kState>;

void called(Callback which) {
    if (faulty_callback.load(std::memory_order_relaxed) == which) *const_cast<volatile u64*>(nowhere()) = 1;
}

Marked::~Marked() {
    called(Callback::destroy);
}

i32 pre_patch(u64) {
    called(Callback::pre_patch);
    const void* objects[] = {&may_go, &staying, &faulty_callback};
    for (const void* object : objects) {
        if (MarkOf::get_or_alloc(object) == nullptr) return -1;
    }
    return 0;
}
void post_patch(u64) {
    called(Callback::post_patch);
}
void pre_unpatch(u64) {
    called(Callback::pre_unpatch);
}
void post_unpatch(u64) {
    called(Callback::post_unpatch);
}

}  // namespace

GRAFT_REPLACE(do_job, do_job_new);
GRAFT_STATE("marks", .id = kState, .version = 1, .pre_patch = pre_patch, .post_patch = post_patch,
            .pre_unpatch = pre_unpatch, .post_unpatch = post_unpatch, .destroy = MarkOf::destroy);

}  // namespace graft::contain_test
