// Canaries on the simulated machine: the share, chosen at the beginning and at each birth.
#include "tests/sim/sim_machine.h"

namespace graft::sim {

using namespace patch;

void SimMachine::begin_canary(const Examiner& examiner, Universe target, const CanaryPolicy& policy) {
    canary = policy;
    new_side_ = target;
    ShareCount so_far;
    for (auto& task : tasks_) {
        task->strays = false;
        task->is_chosen = !task->is_own && belongs(policy, task->name, so_far, false);
        if (!task->is_own) ++so_far.total;
        if (task->is_chosen) ++so_far.chosen;
    }
    if (has(Defect::outsider_moves)) tasks_.front()->strays = true;
    limited_ = true;
    begin_transition(examiner, target);
}

void SimMachine::promote_canary() {
    run_meanwhile();
    StillMachine::promote_canary();
    if (!model_.promote(clock())) violation("a canary is promoted that nobody wants promoted");
    limited_ = false;
    count_unmoved();
    for (auto& task : tasks_) {
        if (!has(Defect::promotion_forgets_one) || is_in_place(*task)) continue;
        task->overlooked = true;
        break;
    }
    run_meanwhile();
}

Universe SimMachine::goal_of(const SimTask& task) const {
    bool stays = limited_ && target_ == new_side_ && !task.is_chosen && !task.strays;
    return stays ? other(target_) : target_;
}

ShareCount SimMachine::share() const {
    ShareCount count;
    for (auto& task : tasks_) {
        if (!task->is_own || task->is_chosen) ++count.total;
        if (!task->is_chosen) continue;
        ++count.chosen;
        if (task->state == new_side_) ++count.moved;
    }
    return count;
}

bool SimMachine::chooses(const SimTask& newborn, const SimTask& creator) {
    bool is_creator_new = creator.state == new_side_;
    if (examiner_ == nullptr) return is_creator_new;
    bool wanted = !newborn.is_own && belongs(canary, newborn.name, share(), true);
    bool leads_back = target_ != new_side_;
    if (leads_back || wanted == is_creator_new) return wanted;
    bool is_clear = examine(*examiner_, creator, random_.percent(4)).kind == Verdict::Kind::clear;
    if (has(Defect::birth_crosses)) is_clear = true;
    ++(is_clear ? counts_.across : counts_.inherited);
    return is_clear ? wanted : is_creator_new;
}

void SimMachine::assign_newborn(SimTask& newborn, const SimTask& creator) {
    newborn.state = creator.state;
    if (has(Defect::birth_wrong_state)) newborn.state = other(creator.state);
    if (!limited_) return;
    newborn.is_chosen = chooses(newborn, creator);
    if (!newborn.is_chosen) newborn.state = other(new_side_);
    bool is_judged = model_.change() != nullptr && model_.change()->is_limited();
    if (!is_judged) return;
    auto wrong = model_.judge_birth(creator.episode, newborn.is_chosen);
    if (!wrong.empty()) violation(wrong + ", task " + std::to_string(newborn.id));
}

void SimMachine::count_unmoved() {
    to_move_ = 0;
    for (auto& task : tasks_) {
        if (!is_in_place(*task)) ++to_move_;
    }
}

}  // namespace graft::sim
