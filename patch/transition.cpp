#include "patch/transition.h"

#include "patch/machine_refusal.h"

namespace graft::patch {

namespace {

// The whole stack must be walked: the outermost changing frame is the one to hook, and only a walk that reached the
// task's entry proves that there is none.
Verdict judge(Stack& stack, const ChangingSet& changing) {
    bool inside = false;
    VirtAddr outermost;
    Frame frame;
    while (stack.next(frame)) {
        if (!changing.contains(frame.lookup_pc)) continue;
        inside = true;
        outermost = frame.return_slot;
    }
    if (!stack.reliable()) return {Verdict::Kind::unreliable, {}};
    if (inside) return {Verdict::Kind::inside, outermost};
    return {Verdict::Kind::clear, {}};
}

}  // namespace

Transition::Transition(Machine& machine, Patch& patch, bool appearing, Universe settled)
    : machine_(machine), patch_(patch), in_force_(appearing ? other(settled) : settled), target_(other(settled)) {}

Transition::~Transition() {
    GRAFT_ASSERT(!begun_);
    if (trampolines_.handle != 0) machine_.release_trampolines(trampolines_);
}

RefusalResult<RecordOwner<Transition>> Transition::prepare(Machine& machine, Patch& patch, bool appearing,
                                                           Universe settled) {
    auto transition = RecordOwner<Transition>::create(machine, machine, patch, appearing, settled);
    if (!transition) return refuse(RefusalCode::no_memory, patch.texts.name);
    GRAFT_CHECK(transition->make_dispatches());
    GRAFT_CHECK(transition->make_changing_set());
    return transition;
}

RefusalResult<void> Transition::make_dispatches() {
    usize count = patch_.funcs.size();
    if (!dispatches_.create(machine_, count)) return refuse(RefusalCode::no_memory, patch_.texts.name);
    if (!changes_.create(machine_, count)) return refuse(RefusalCode::no_memory, patch_.texts.name);
    for (usize i = 0; i < count; ++i) {
        Func& func = patch_.funcs[i];
        Dispatch& dispatch = dispatches_[i];
        dispatch.entry = func.old.entry;
        dispatch.version[static_cast<usize>(in_force_)] = func.stack->target(nullptr);
        dispatch.version[static_cast<usize>(other(in_force_))] = func.stack->target(&func);
    }
    auto trampolines = machine_.make_trampolines(dispatches_.span());
    if (!trampolines) return std::unexpected(refusal_of(trampolines.error(), patch_.texts.name));
    trampolines_ = *trampolines;
    return {};
}

RefusalResult<void> Transition::make_changing_set() {
    usize capacity = 2;  // the patch's text, the trampolines
    for (const Func& func : patch_.funcs) capacity += func.old.range_count;
    for (const Hold& hold : patch_.holds) capacity += hold.function.range_count;
    if (!changing_.reserve(machine_, capacity)) return refuse(RefusalCode::no_memory, patch_.texts.name);

    for (const Func& func : patch_.funcs) {
        for (AddressRange part : func.old.parts()) changing_.add(part);
    }
    for (const Hold& hold : patch_.holds) {
        for (AddressRange part : hold.function.parts()) changing_.add(part);
    }
    changing_.add(patch_.object.memory().text);
    changing_.add(trampolines_.text);
    changing_.close();
    return {};
}

RefusalResult<void> Transition::begin() {
    for (usize i = 0; i < dispatches_.size(); ++i) changes_[i] = {dispatches_[i].entry, trampolines_.slot(i)};
    auto written = machine_.write_sites(changes_.span());
    if (!written) return std::unexpected(refusal_of(written.error(), patch_.texts.name));

    begun_ = true;
    began_ns_ = machine_.now_ns();
    machine_.begin_transition(*this, target_);
    machine_.sweep();
    return {};
}

void Transition::turn() {
    target_ = other(target_);
    ++turns_;
    machine_.turn_transition(target_);
    machine_.sweep();
}

RefusalResult<void> Transition::settle() {
    for (usize i = 0; i < dispatches_.size(); ++i) {
        VirtAddr target = dispatches_[i].version[static_cast<usize>(target_)];
        bool is_original = target == dispatches_[i].entry + kCallSiteSize;
        changes_[i] = {dispatches_[i].entry, is_original ? VirtAddr() : target};
    }
    auto written = machine_.write_sites(changes_.span());
    if (!written) return std::unexpected(refusal_of(written.error(), patch_.texts.name));

    // A task that was stopped inside a trampoline goes on there with the choice still ahead of it, whatever happens to
    // patch states meanwhile; so none may be left in one before a next transition gives the states another meaning.
    machine_.drain(trampolines_);
    machine_.synchronise();
    machine_.end_transition();
    machine_.release_trampolines(trampolines_);
    trampolines_ = {};
    begun_ = false;
    return {};
}

Verdict Transition::examine(Stack& stack) const {
    return judge(stack, changing_);
}

void PlannedChange::add(const FunctionInfo& function) {
    for (AddressRange part : function.parts()) changing_.add(part);
}

Verdict PlannedChange::examine(Stack& stack) const {
    return judge(stack, changing_);
}

}  // namespace graft::patch
