#include "kernel/patch_service.h"

#include <new>

#include "base/assert.h"
#include "kernel/boot_patches.h"
#include "kernel/memory.h"
#include "kernel/patch_callbacks.h"
#include "kernel/patch_machine.h"
#include "kernel/patch_moves.h"
#include "kernel/patch_search.h"
#include "kernel/patch_worker.h"

namespace graft::kernel {

namespace {

constinit PatchMachine machine;
// Constant after start_patch_service(). In the records heap, since the search for references to patches passes that
// over.
constinit patch::Registry* registry = nullptr;

bool complete() {
    auto completion = patch_registry().complete();
    continue_boot_patches();
    return completion == patch::Completion::stuck;
}

void tick() {
    patch_registry().tick();
}

}  // namespace

patch::Registry& patch_registry() {
    return *registry;
}

void start_patch_service() {
    void* memory = records_allocate(sizeof(patch::Registry), alignof(patch::Registry));
    GRAFT_ASSERT(memory);
    registry = new (memory) patch::Registry(machine);
    start_patch_worker({.complete = complete, .tick = tick});
    start_callback_task();
    start_patch_search([](void*) { (void)patch_registry().retry_lingering(); }, nullptr);
}

u8 settled_patch_state() {
    return static_cast<u8>(moves_are_allowed() ? patch::other(move_target()) : move_target());
}

}  // namespace graft::kernel
