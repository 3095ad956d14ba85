#include "kernel/patch_service.h"

#include <new>

#include "base/assert.h"
#include "kernel/boot_patches.h"
#include "kernel/code_map.h"
#include "kernel/dead_stack.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/patch_callbacks.h"
#include "kernel/patch_machine.h"
#include "kernel/patch_moves.h"
#include "kernel/patch_search.h"
#include "kernel/patch_worker.h"
#include "kernel/task_view.h"

namespace graft::kernel {

namespace {

constexpr u64 kUsedByTelling = 16 * 1024;  // of the worker's stack, at most

constinit PatchMachine machine;
// Constant after start_patch_service(). In the records heap, since the search for references to patches passes that
// over.
constinit patch::Registry* registry = nullptr;

constexpr u64 kStuckRetryNs = 1'000'000'000;
constexpr u64 kDrainRetryNs = 1'000'000;

u64 complete() {
    auto completion = patch_registry().complete();
    continue_boot_patches();
    if (completion == patch::Completion::stuck) return kStuckRetryNs;
    if (completion == patch::Completion::draining) return kDrainRetryNs;
    return kNever;
}

// What is examined here stays on no stack: see kernel/dead_stack.h.
[[gnu::noinline]] void log_stack(const StoppedTask& stopped) {
    auto stack = view_stack(stopped.task.id);
    if (!stack) return;
    log_parts(LogLevel::warning, "task ", stopped.task.id, " (", stopped.task.name_view(), ") has faulted; its stack:");
    // Above the fault lie the frames in which the task waits to be told of.
    usize first = 0;
    while (first < stack->count && stack->pcs[first].value != stopped.frame.rip) ++first;
    if (first == stack->count) first = 0;
    for (usize i = first; i < stack->count; ++i) {
        Text<LogRecord::kTextCapacity> line;
        line.append("  #", i - first, " ");
        append_code_name(line, stack->pcs[i]);
        log(LogLevel::warning, line.view());
    }
    if (stack->cut) log(LogLevel::warning, "  (more)");
}

[[gnu::noinline]] void tell(const StoppedTask& stopped) {
    Text<64> kind;
    append_fault(kind, stopped);
    VirtAddr place(stopped.frame.rip);
    Text<300> function;
    append_code_name(function, place);
    patch_registry().report_fault({.code = stopped.in_patch,
                                   .task = stopped.task.id,
                                   .task_name = stopped.task.name_view(),
                                   .kind = kind.view(),
                                   .place = place,
                                   .function = function.view()});
}

// The stack comes first: with the patch's turn the names of its code may go.
void fault(const StoppedTask& stopped) {
    log_stack(stopped);
    tell(stopped);
    clear_dead_stack(kUsedByTelling);
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
    start_patch_worker({.complete = complete, .tick = tick, .fault = fault});
    start_callback_task();
    start_patch_search([](void*) { (void)patch_registry().retry_lingering(); }, nullptr);
}

u8 settled_patch_state() {
    return static_cast<u8>(moves_are_allowed() ? patch::other(move_target()) : move_target());
}

}  // namespace graft::kernel
