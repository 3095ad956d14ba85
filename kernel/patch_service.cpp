#include "kernel/patch_service.h"

#include <array>
#include <atomic>
#include <new>

#include "base/assert.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/patch_callbacks.h"
#include "kernel/patch_machine.h"
#include "kernel/patch_moves.h"
#include "kernel/patch_search.h"
#include "kernel/patch_worker.h"

namespace graft::kernel {

namespace {

struct BootPatch {
    std::string_view name;
    std::span<const std::byte> file;
};

constinit PatchMachine machine;
// Constant after start_patch_service(). In the records heap, since the search for references to patches passes that
// over.
constinit patch::Registry* registry = nullptr;
constinit std::array<BootPatch, kMaxBootPatches> boot_patches{};
constinit usize boot_patch_count = 0;  // constant after boot
constinit usize next_boot_patch = 0;   // the worker's
// Release in load_boot_patches() pairs with acquire in the worker.
constinit std::atomic<bool> boot_patches_due{false};

void load_one(const BootPatch& patch) {
    auto started = patch_registry().load(patch.file, {}, {});
    if (started) return;
    Text<400> reason;
    patch::render(started.error(), reason);
    log_parts(LogLevel::error, "boot patch ", patch.name, " refused: ", reason.view());
}

void load_next_boot_patches() {
    if (!boot_patches_due.load(std::memory_order_acquire)) return;
    while (next_boot_patch < boot_patch_count && patch_registry().is_idle()) load_one(boot_patches[next_boot_patch++]);
}

bool complete() {
    switch (patch_registry().complete()) {
        case patch::Completion::stuck:
            return true;
        case patch::Completion::not_yet:
            return false;
        case patch::Completion::nothing:
        case patch::Completion::done:
            break;
    }
    load_next_boot_patches();
    return false;
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

bool add_boot_patch(std::string_view name, std::span<const std::byte> file) {
    if (boot_patch_count == boot_patches.size()) return false;
    boot_patches[boot_patch_count++] = {name, file};
    return true;
}

std::span<const std::byte> boot_patch(usize index) {
    return index < boot_patch_count ? boot_patches[index].file : std::span<const std::byte>();
}

void load_boot_patches() {
    boot_patches_due.store(true, std::memory_order_release);
    wake_patch_worker();
}

u8 settled_patch_state() {
    return static_cast<u8>(moves_are_allowed() ? patch::other(move_target()) : move_target());
}

}  // namespace graft::kernel
