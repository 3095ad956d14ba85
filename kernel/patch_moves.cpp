#include "kernel/patch_moves.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/clock.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/return_hook.h"
#include "arch/x86_64/sync.h"
#include "arch/x86_64/upcalls.h"
#include "base/assert.h"
#include "kernel/canary.h"
#include "kernel/dead_stack.h"
#include "kernel/processor.h"
#include "kernel/scheduler.h"
#include "kernel/task_list.h"
#include "kernel/task_walk.h"

// Written while no verdict is under way: `allowed` is false then, and all processors have been synchronised.
constinit graft::u8 graft_target_state = 0;

namespace graft::kernel {

namespace {

using patch::MoveCause;
using patch::Universe;

// Release when it is set pairs with acquire in verdicts: they see the examiner and the target.
constinit std::atomic<bool> allowed{false};
constinit const patch::Examiner* examiner = nullptr;  // ordered by `allowed`

constinit std::array<std::atomic<u64>, patch::kMoveCauseCount> counts{};

constinit std::atomic<Task*> worker{nullptr};
// Nobody is left to move and the worker doesn't know yet. Release in make_due() pairs with acquire in report_moves().
constinit std::atomic<bool> worker_due{false};
constinit std::atomic<bool> worker_asked{false};  // since it last began to look

void make_due() {
    worker_due.store(true, std::memory_order_release);
}

void note_move(Task& task, MoveCause cause) {
    counts[static_cast<usize>(cause)].fetch_add(1, std::memory_order_relaxed);  // read when all have moved
    task.moves.add(arch::now_ns(), cause, move_target());
    task.holding = {};
    count_move(move_target());
    count_chosen_move(task, move_target());
    if (tasks_to_move() == 0) make_due();
}

VirtAddr pc_of_frame(const Task& task, const arch::InterruptFrame* frame, VirtAddr slot) {
    TaskWalk walk(task, frame);
    arch::Frame found;
    while (walk.next(found)) {
        if (found.return_slot == slot) return found.lookup_pc;
    }
    return {};
}

void hold(Task& task, const arch::InterruptFrame* frame, VirtAddr slot) {
    Holding& holding = task.holding;
    if (holding.since_ns == 0) holding.since_ns = arch::now_ns();
    holding.unreliable = !slot;
    holding.slot = slot;
    holding.pc = slot ? pc_of_frame(task, frame, slot) : VirtAddr();
}

// Hooks the frame's return; where that can't be, the task is looked at again when it stops.
void hook(Task& task, const arch::InterruptFrame* frame, VirtAddr slot) {
    hold(task, frame, slot);
    if (VirtAddr(task.context.hook.slot) == slot) return;
    bool here = frame != nullptr;
    bool free = arch::take_off_return_hook(task.context, here);
    if (!free) return;  // it is firing and will ask for itself
    if (!arch::install_return_hook(task.context, slot, here)) task.examine_at_stop = true;
}

void mark(Task& task, const arch::InterruptFrame* frame) {
    hold(task, frame, {});
    task.examine_at_stop = true;
}

u32 move(Task& task, const arch::InterruptFrame* frame, MoveCause cause) {
    bool here = frame != nullptr;
    // A hook that is firing finds the task moved and does nothing.
    (void)arch::take_off_return_hook(task.context, here);
    if (here) return arch::kExitMove;
    task.context.patch_state = static_cast<u8>(move_target());
    note_move(task, cause);
    return 0;
}

}  // namespace

void allow_moves(const patch::Examiner& new_examiner, Universe target) {
    GRAFT_ASSERT(!moves_are_allowed());
    GRAFT_ASSERT(tasks_in(target) == 0);
    for (auto& count : counts) count.store(0, std::memory_order_relaxed);  // before `allowed`
    examiner = &new_examiner;
    graft_target_state = static_cast<u8>(target);
    allowed.store(true, std::memory_order_release);
}

void suspend_moves() {
    allowed.store(false, std::memory_order_release);
    arch::synchronise_processors();
}

void resume_moves(Universe target) {
    graft_target_state = static_cast<u8>(target);
    allowed.store(true, std::memory_order_release);
}

void forget_examiner() {
    examiner = nullptr;
}

bool moves_are_allowed() {
    return allowed.load(std::memory_order_acquire);
}
Universe move_target() {
    return static_cast<Universe>(graft_target_state);
}
u64 tasks_to_move() {
    Universe left_side = patch::other(move_target());
    return is_limited() ? chosen_in(left_side) : tasks_in(left_side);
}

[[gnu::noinline]] bool is_here_clear() {
    arch::InterruptFrame here{};
    here.rip = reinterpret_cast<u64>(__builtin_return_address(0));
    auto* frame_pointer = static_cast<u64*>(__builtin_frame_address(0));
    here.rsp = reinterpret_cast<u64>(frame_pointer + 2);
    here.rbp = *frame_pointer;
    TaskStack stack(current_task(), &here);
    bool is_clear = examiner->examine(stack).kind == patch::Verdict::Kind::clear;
    clear_dead_stack(kUsedByExamination);
    return is_clear;
}

// Is the task where it is to be?
bool is_in_place(const Task& task) {
    return static_cast<Universe>(task.context.patch_state) == goal_of(task);
}

patch::MoveCounts move_counts() {
    patch::MoveCounts result{};
    for (usize i = 0; i < result.size(); ++i) result[i] = counts[i].load(std::memory_order_relaxed);
    return result;
}

u32 examine_task(Task& task, arch::InterruptFrame* frame) {
    if (!moves_are_allowed()) return 0;
    task.examine_at_stop = false;
    if (is_in_place(task)) {
        task.holding = {};
        (void)arch::take_off_return_hook(task.context, frame != nullptr);  // one that is firing clears itself
        return 0;
    }
    if (task.state == TaskState::exited) return 0;  // the reaper counts it
    TaskStack stack(task, frame);
    patch::Verdict verdict = examiner->examine(stack);
    switch (verdict.kind) {
        case patch::Verdict::Kind::clear:
            return move(task, frame, MoveCause::walk);
        case patch::Verdict::Kind::inside:
            if (!verdict.hook_slot) break;
            hook(task, frame, verdict.hook_slot);
            return 0;
        case patch::Verdict::Kind::unreliable:
            break;
    }
    mark(task, frame);
    return 0;
}

u32 force_task(Task& task, arch::InterruptFrame* frame) {
    if (!moves_are_allowed() || is_in_place(task)) return 0;
    if (task.state == TaskState::exited) return 0;  // the reaper counts it
    task.examine_at_stop = false;
    return move(task, frame, MoveCause::force);
}

void examine_stopped_task(Task& task) {
    task.examine_at_stop = false;
    (void)examine_task(task, nullptr);
}

void move_new_task(Task& task) {
    if (!moves_are_allowed() || is_in_place(task)) return;
    task.context.patch_state = static_cast<u8>(move_target());
    note_move(task, MoveCause::birth);
}

void count_exit(Task& task) {
    if (!moves_are_allowed() || is_in_place(task)) return;
    counts[static_cast<usize>(MoveCause::exit)].fetch_add(1, std::memory_order_relaxed);
}

void note_withdrawal() {
    if (moves_are_allowed() && tasks_to_move() == 0) make_due();
}

void set_patch_worker(Task& task) {
    worker.store(&task, std::memory_order_release);  // pairs with report_moves()
}

void ask_patch_worker() {
    worker_asked.store(true, std::memory_order_release);                     // pairs with take_worker_request()
    if (Task* task = worker.load(std::memory_order_acquire)) unpark(*task);  // pairs with set_patch_worker()
}

bool take_worker_request() {
    return worker_asked.exchange(false, std::memory_order_acquire);  // pairs with ask_patch_worker()
}

void wake_unmoved_own_tasks() {
    if (!moves_are_allowed()) return;
    for (TaskRef task = next_task({}); task; task = next_task(std::move(task))) {
        if (!task->is_own) continue;
        bool is_unmoved = false;
        {
            TaskQueueGuard guard(*task);
            is_unmoved = task->state == TaskState::blocked && !is_in_place(*task);
        }
        if (is_unmoved) unpark(*task);
    }
}

void report_moves() {
    if (!worker_due.load(std::memory_order_relaxed)) return;
    if (!worker.load(std::memory_order_relaxed) || !worker_due.exchange(false, std::memory_order_acquire)) return;
    ask_patch_worker();
}

}  // namespace graft::kernel

// ---- what permanent code calls ----

extern "C" void graft_upcall_moved(graft::u32 cause) {
    using namespace graft;
    kernel::note_move(kernel::current_task(), static_cast<patch::MoveCause>(cause));
    // No lock may be taken here (see the header): the interrupt wakes the worker.
    if (kernel::worker_due.load(std::memory_order_relaxed)) {
        arch::send_interrupt(arch::this_cpu().index, arch::kVectorReschedule);
    }
}

extern "C" graft::u32 graft_upcall_hook_fired(graft::arch::InterruptFrame* frame) {
    using namespace graft;
    kernel::Task& task = kernel::current_task();
    if (arch::this_cpu().nesting != 0) {
        // The task is half-way through something: its handler began in this universe and ends in it.
        task.examine_at_stop = true;
        return 0;
    }
    u32 verdict = kernel::examine_task(task, frame);
    kernel::clear_dead_stack(kernel::kUsedByExamination);
    return verdict;
}

extern "C" graft::u32 graft_upcall_birth() {
    using namespace graft;
    kernel::Task& task = kernel::current_task();
    // Nothing but the entry frame is on the stack: its first call goes through call sites.
    bool moves = kernel::moves_are_allowed() && !kernel::is_in_place(task);
    return moves ? arch::kExitMove : 0;
}
