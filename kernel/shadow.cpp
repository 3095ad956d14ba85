#include "kernel/shadow.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/percpu.h"
#include "kernel/lock.h"
#include "kernel/memory.h"
#include "kernel/task.h"
#include "kernel/timers.h"
#include "patch/shadow.h"

namespace graft::kernel {

namespace {

constexpr u64 kPauseNs = 100'000;

class KernelShadowSystem final : public patch::ShadowSystem {
public:
    u64 lock() override {
        bool were_enabled = arch::interrupts_enabled();
        arch::disable_interrupts();
        spin_lock_.acquire();
        return were_enabled ? 1 : 0;
    }
    void unlock(u64 were_enabled) override {
        spin_lock_.release();
        if (were_enabled != 0) arch::enable_interrupts();
    }
    void* allocate(usize size, usize alignment) override {
        return heap_allocate(size, alignment < 16 ? 16 : alignment);
    }
    void release(void* memory) override { heap_release(memory); }
    // Whoever has interrupts off can't wait, be it an interrupt or a task.
    u64 current_task() override {
        bool may_sleep = arch::interrupts_enabled() && arch::this_cpu().nesting == 0;
        return may_sleep ? kernel::current_task().id : 0;
    }
    void pause() override { sleep_ns(kPauseNs); }
    u64 now_ns() override { return arch::now_ns(); }

private:
    SpinLock spin_lock_{LockRank::shadow};
};

constinit KernelShadowSystem shadow_system;
constinit patch::ShadowStore store{shadow_system};

}  // namespace

patch::ShadowStore& shadow_store() {
    return store;
}

void note_freed_object(const void* object) {
    store.note_freed(object);
}

}  // namespace graft::kernel

// ---- what patches call. Nothing in the image may refer to these, so they are kept by attribute.

using graft::u64;
using graft::usize;
using graft::patch::ShadowStore;

#define GRAFT_FOR_PATCHES extern "C" [[gnu::used, gnu::retain]]

GRAFT_FOR_PATCHES void* graft_shadow_get(const void* object, u64 id) {
    return graft::kernel::shadow_store().get(object, id);
}
GRAFT_FOR_PATCHES void* graft_shadow_begin(const void* object, u64 id, usize size, usize alignment, bool share,
                                           bool* is_new) {
    auto if_there = share ? ShadowStore::IfThere::share : ShadowStore::IfThere::refuse;
    auto begun = graft::kernel::shadow_store().begin(object, id, size, alignment, if_there);
    *is_new = begun.is_new;
    return begun.data;
}
GRAFT_FOR_PATCHES void graft_shadow_publish(void* data) {
    graft::kernel::shadow_store().publish(data);
}
GRAFT_FOR_PATCHES void* graft_shadow_take(const void* object, u64 id) {
    return graft::kernel::shadow_store().take(object, id);
}
GRAFT_FOR_PATCHES void* graft_shadow_take_any(u64 id) {
    return graft::kernel::shadow_store().take_any(id);
}
GRAFT_FOR_PATCHES void* graft_shadow_take_stale(u64 id) {
    return graft::kernel::shadow_store().take_stale(id);
}
GRAFT_FOR_PATCHES void graft_shadow_release(void* data) {
    graft::kernel::shadow_store().release(data);
}

#undef GRAFT_FOR_PATCHES
