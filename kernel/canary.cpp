#include "kernel/canary.h"

#include <atomic>

#include "kernel/patch_moves.h"
#include "kernel/task_list.h"

namespace graft::kernel {

namespace {

using patch::Universe;

struct Share {
    patch::CanaryPolicy policy;
    u64 total = 0;
    u64 chosen = 0;
};

constinit Share share;  // lock: the task list's
constinit std::atomic<bool> limited{false};
constinit Universe new_side = Universe::zero;  // ordered by `limited`

// Read as task_list.cpp's counts are.
constinit std::array<std::atomic<u64>, 2> chosen_counts{};

std::atomic<u64>& count_of(Universe universe) {
    return chosen_counts[static_cast<usize>(universe)];
}

bool is_eligible(const Task& task) {
    return !task.is_idle && !task.is_own;
}

bool is_wanted(const Task& task, bool is_newborn) {
    if (!is_eligible(task)) return false;
    return belongs(share.policy, task.name_view(), {.total = share.total, .chosen = share.chosen}, is_newborn);
}

void count_in(const Task& task) {
    if (is_eligible(task) || task.is_chosen) ++share.total;
    if (!task.is_chosen) return;
    ++share.chosen;
    count_of(static_cast<Universe>(task.context.patch_state)).fetch_add(1, std::memory_order_acq_rel);
}

// Where the newborn may not be chosen freely, it goes with its creator.
bool chooses(const Task& task, Universe creator) {
    bool is_creator_new = creator == new_side;
    if (!moves_are_allowed()) return is_creator_new;
    bool wanted = is_wanted(task, true);
    bool leads_back = move_target() != new_side;
    if (leads_back || wanted == is_creator_new || is_here_clear()) return wanted;
    return is_creator_new;
}

}  // namespace

void limit_moves(const patch::CanaryPolicy& policy, Universe side) {
    hold_list([&] {
        share = {.policy = policy};
        for (auto& count : chosen_counts) count.store(0, std::memory_order_relaxed);  // ordered by the list's lock
        new_side = side;
        limited.store(true, std::memory_order_release);  // pairs with is_limited(); nobody moves yet
        visit_held([](Task& task) {
            task.is_chosen = is_wanted(task, false);
            count_in(task);
        });
    });
}

void lift_limit() {
    limited.store(false, std::memory_order_release);
}

bool is_limited() {
    return limited.load(std::memory_order_acquire) && move_target() == new_side;
}

Universe goal_of(const Task& task) {
    return is_limited() && !task.is_chosen ? patch::other(new_side) : move_target();
}

u64 chosen_in(Universe universe) {
    return count_of(universe).load(std::memory_order_acquire);  // pairs with count_chosen_move()
}

patch::ShareCount share_count() {
    patch::ShareCount count;
    hold_list([&] { count = {.total = share.total, .chosen = share.chosen, .moved = chosen_in(new_side)}; });
    return count;
}

void assign_newborn(Task& task, Universe creator) {
    task.context.patch_state = static_cast<u8>(creator);
    if (limited.load(std::memory_order_acquire)) {
        task.is_chosen = chooses(task, creator);
        // One of the share moves as any newborn does, if it is on the other side now.
        if (!task.is_chosen) task.context.patch_state = static_cast<u8>(patch::other(new_side));
    }
    count_in(task);
}

void forget_chosen(const Task& task) {
    if (is_eligible(task) || task.is_chosen) --share.total;
    if (!task.is_chosen) return;
    --share.chosen;
    count_of(static_cast<Universe>(task.context.patch_state)).fetch_sub(1, std::memory_order_acq_rel);
}

void count_chosen_move(const Task& task, Universe into) {
    if (!task.is_chosen) return;
    count_of(into).fetch_add(1, std::memory_order_acq_rel);
    count_of(patch::other(into)).fetch_sub(1, std::memory_order_acq_rel);
}

}  // namespace graft::kernel
