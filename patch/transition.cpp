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

// Calls visit(incoming's func, outgoing's func) for each changed function, by entry; one of the two may be null. The
// no-ops of a measured patch that goes without a successor are among them: their call sites lead to measuring.
template <typename Visit>
void for_each_function(const Change& change, Visit visit) {
    std::span<const Func> incoming;
    std::span<const Func> outgoing;
    if (change.incoming != nullptr) incoming = change.incoming->funcs.span();
    if (change.outgoing != nullptr) outgoing = change.outgoing->funcs.span();
    std::span<const Func> no_ops;
    if (change.kind == Change::Kind::unload && change.subject().is_measured) no_ops = change.subject().no_ops.span();
    while (!incoming.empty() || !outgoing.empty() || !no_ops.empty()) {
        bool takes_no_op = !no_ops.empty() && (outgoing.empty() || no_ops[0].old.entry < outgoing[0].old.entry);
        std::span<const Func>& leaving = takes_no_op ? no_ops : outgoing;
        bool takes_incoming = leaving.empty() || (!incoming.empty() && incoming[0].old.entry <= leaving[0].old.entry);
        bool takes_leaving = incoming.empty() || (!leaving.empty() && leaving[0].old.entry <= incoming[0].old.entry);
        visit(takes_incoming ? &incoming[0] : nullptr, takes_leaving ? &leaving[0] : nullptr);
        if (takes_incoming) incoming = incoming.subspan(1);
        if (takes_leaving) leaving = leaving.subspan(1);
    }
}

VirtAddr version_of(const Func* func, VirtAddr entry) {
    if (func != nullptr && func->new_function) return func->new_function;
    return entry + kCallSiteSize;
}

void add_parts(ChangingSet& set, const FunctionInfo& function) {
    for (AddressRange part : function.parts()) set.add(part);
}

// How many ranges a patch adds to the changing set: the old functions' parts and all its own text.
usize ranges_of(const Patch* patch) {
    if (patch == nullptr) return 0;
    usize count = 1;
    for (const Func& func : patch->funcs) count += func.old.range_count;
    for (const Hold& hold : patch->holds) count += hold.function.range_count;
    return count;
}

void add_patch(ChangingSet& set, const Patch* patch) {
    if (patch == nullptr) return;
    for (const Func& func : patch->funcs) add_parts(set, func.old);
    for (const Hold& hold : patch->holds) add_parts(set, hold.function);
    set.add(patch->object.memory().text);
}

}  // namespace

Transition::Transition(Machine& machine, const Change& change, Universe settled)
    : machine_(machine), change_(change), forward_(other(settled)), target_(other(settled)) {
    is_canary_ = change.kind == Change::Kind::load && change.incoming->canary;
    is_measured_ = subject().is_measured;
}

Transition::~Transition() {
    GRAFT_ASSERT(!begun_);
    if (has_new_counts_) machine_.stop_measuring(dispatches_.span());
    if (trampolines_.handle != 0) machine_.release_trampolines(trampolines_);
}

RefusalResult<RecordOwner<Transition>> Transition::prepare(Machine& machine, const Change& change, Universe settled,
                                                           std::span<const AddressRange> forced) {
    auto transition = RecordOwner<Transition>::create(machine, machine, change, settled);
    if (!transition) return refuse(RefusalCode::no_memory, change.subject().texts.name);
    GRAFT_CHECK(transition->make_dispatches());
    GRAFT_CHECK(transition->make_changing_set(forced));
    return transition;
}

usize Transition::count_functions() const {
    usize count = 0;
    for_each_function(change_, [&](const Func*, const Func*) { ++count; });
    return count;
}

RefusalResult<void> Transition::make_dispatches() {
    std::string_view name = subject().texts.name;
    usize count = count_functions();
    if (!dispatches_.create(machine_, count)) return refuse(RefusalCode::no_memory, name);
    if (!changes_.create(machine_, count)) return refuse(RefusalCode::no_memory, name);
    // A patch without funcs that replaces nothing has no call site to change.
    if (count == 0) return {};
    usize next = 0;
    for_each_function(change_, [&](const Func* incoming, const Func* outgoing) {
        Dispatch& dispatch = dispatches_[next++];
        const Func* either = incoming != nullptr ? incoming : outgoing;
        GRAFT_ASSERT(either != nullptr);
        dispatch.entry = either->old.entry;
        dispatch.version[static_cast<usize>(forward_)] = version_of(incoming, dispatch.entry);
        dispatch.version[static_cast<usize>(other(forward_))] = version_of(outgoing, dispatch.entry);
        dispatch.is_measured = is_measured_;
    });
    auto trampolines = machine_.make_trampolines(dispatches_.span());
    if (!trampolines) return std::unexpected(refusal_of(trampolines.error(), name));
    trampolines_ = *trampolines;
    return prepare_measuring();
}

RefusalResult<void> Transition::prepare_measuring() {
    if (!is_measured_) return {};
    auto prepared = machine_.prepare_measuring(dispatches_.span(), other(forward_), new_side());
    if (!prepared) return std::unexpected(refusal_of(prepared.error(), subject().texts.name));
    has_new_counts_ = change_.kind == Change::Kind::load;
    return {};
}

// Whether calls go on being measured after the end, as it would be now.
bool Transition::measures_on() const {
    if (!is_measured_ || winner() != &subject()) return false;
    return change_.kind != Change::Kind::load || subject().probation_ns != 0;
}

RefusalResult<void> Transition::make_changing_set(std::span<const AddressRange> forced) {
    usize capacity = 1 + forced.size() + ranges_of(change_.incoming) + ranges_of(change_.outgoing);
    if (!changing_.reserve(machine_, capacity)) return refuse(RefusalCode::no_memory, subject().texts.name);

    add_patch(changing_, change_.incoming);
    add_patch(changing_, change_.outgoing);
    for (AddressRange text : forced) changing_.add(text);
    changing_.add(trampolines_.text);
    changing_.close();
    return {};
}

RefusalResult<void> Transition::write_sites() {
    if (changes_.empty()) return {};
    auto written = machine_.write_sites(changes_.span());
    if (!written) return std::unexpected(refusal_of(written.error(), subject().texts.name));
    return {};
}

RefusalResult<void> Transition::begin() {
    for (usize i = 0; i < dispatches_.size(); ++i) {
        VirtAddr entry = dispatches_[i].entry;
        changes_[i] = {entry, is_measured_ ? machine_.measured_site(entry) : trampolines_.slot(i)};
    }
    GRAFT_CHECK(write_sites());
    has_new_counts_ = false;
    if (is_measured_) machine_.measure_both(dispatches_.span(), new_side());

    begun_ = true;
    began_ns_ = machine_.now_ns();
    if (is_canary_) {
        machine_.begin_canary(*this, target_, change_.incoming->canary);
    } else {
        machine_.begin_transition(*this, target_);
    }
    machine_.sweep();
    return {};
}

void Transition::turn() {
    target_ = other(target_);
    ++turns_;
    machine_.turn_transition(target_);
    machine_.sweep();
}

void Transition::promote() {
    is_canary_ = false;
    machine_.promote_canary();
    machine_.sweep();
}

RefusalResult<void> Transition::settle() {
    GRAFT_ASSERT(!is_canary_ || !is_forward());
    goes_on_measuring_ = measures_on();
    for (usize i = 0; i < dispatches_.size(); ++i) {
        VirtAddr target = dispatches_[i].version[static_cast<usize>(target_)];
        bool is_original = target == dispatches_[i].entry + kCallSiteSize;
        changes_[i] = {dispatches_[i].entry, is_original ? VirtAddr() : target};
        if (goes_on_measuring_) changes_[i].target = machine_.measured_site(dispatches_[i].entry);
    }
    GRAFT_CHECK(write_sites());
    if (goes_on_measuring_) machine_.measure_one(dispatches_.span(), target_, new_side());
    settled_ = true;
    return {};
}

// A task that was stopped inside a trampoline goes on there with the choice still ahead of it, whatever happens to
// patch states meanwhile; so none may be left in one before a next transition gives the states another meaning.
bool Transition::end() {
    GRAFT_ASSERT(settled_);
    if (trampolines_.handle != 0 && !machine_.drain(trampolines_)) return false;
    machine_.synchronise();
    machine_.end_transition();
    if (trampolines_.handle != 0) machine_.release_trampolines(trampolines_);
    trampolines_ = {};
    if (is_measured_ && !goes_on_measuring_) machine_.stop_measuring(dispatches_.span());
    begun_ = false;
    return true;
}

Verdict Transition::examine(Stack& stack) const {
    return judge(stack, changing_);
}

bool PlannedChange::create(Machine& machine, const Plan& plan, const Patch* outgoing) {
    usize functions = plan.funcs().size() + plan.holds().size();
    if (!changing_.reserve(machine, functions * kMaxFunctionRanges + ranges_of(outgoing))) return false;
    for (const PlannedFunc& func : plan.funcs()) add_parts(changing_, func.old);
    for (const FunctionInfo& hold : plan.holds()) add_parts(changing_, hold);
    add_patch(changing_, outgoing);
    changing_.close();
    return true;
}

Verdict PlannedChange::examine(Stack& stack) const {
    return judge(stack, changing_);
}

}  // namespace graft::patch
