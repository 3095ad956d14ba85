// Canaries: a load's transition that is held when its share has moved, and what ends that.
#include "patch/registry.h"

namespace graft::patch {

namespace {

constexpr u64 kSecond = 1'000'000'000;

}  // namespace

// Is there a canary that nobody has promoted, turned, or settled?
bool Registry::is_held_canary() const {
    return transition_ && transition_->is_canary() && transition_->is_forward();
}

std::unexpected<Refusal> Registry::refuse_canary() const {
    u64 age = (machine_.now_ns() - transition_->began_ns()) / kSecond;
    return refuse(RefusalCode::canary_running, {}, 0, age, 0, transition_->subject().texts.name);
}

RefusalResult<void> Registry::promote(std::string_view name, u64 deadline_ns) {
    MachineGuard guard(machine_);
    Patch* patch = find_registered(name);
    if (patch == nullptr) return refuse(RefusalCode::unknown_patch, name);
    if (patch->stage == Stage::loading) GRAFT_CHECK(check_no_callback());
    bool is_one = transition_ && transition_->is_canary() && &transition_->subject() == patch;
    if (!is_one) return refuse(RefusalCode::not_a_canary, name);
    if (!transition_->is_forward()) return refuse(RefusalCode::canary_turned, name);
    record_share(HistoryEvent::promoted);
    run_.deadline_at_ns = deadline_ns != 0 ? machine_.now_ns() + deadline_ns : 0;
    transition_->promote();
    set_alarm();
    return {};
}

bool Registry::abort_canary(std::string_view name, std::string_view reason) {
    MachineGuard guard(machine_);
    if (!is_held_canary() || transition_->subject().texts.name != name) return false;
    bool is_taken_back = take_back(transition_->subject(), reason);
    set_alarm();
    return is_taken_back;
}

// The share has moved: the deadline is kept, and the rest is up to whoever watches it.
void Registry::note_share() {
    if (run_.share_has_moved) return;
    run_.share_has_moved = true;
    run_.deadline_at_ns = 0;
    record_share(HistoryEvent::canary);
}

// A rollback of this other patch is due. A canary may be held for days; it is taken back instead of waited for.
void Registry::make_way(std::string_view for_patch) {
    if (!is_held_canary()) return;
    Text<256> reason;
    reason.append("a rollback of ", for_patch, " is due");
    record(HistoryEvent::aborted, transition_->subject(), reason.view());
    turn();
}

CanaryView Registry::canary_of(const Patch& patch) const {
    CanaryView view;
    bool is_one = transition_ && transition_->change().kind == Change::Kind::load && patch.canary &&
                  &transition_->subject() == &patch;
    if (!is_one) return view;
    view.policy = patch.canary;
    view.share = machine_.share();
    view.has_moved = run_.share_has_moved;
    view.promoted = !transition_->is_canary();
    view.turned = !transition_->is_forward();
    view.age_ns = machine_.now_ns() - transition_->began_ns();
    return view;
}

}  // namespace graft::patch
