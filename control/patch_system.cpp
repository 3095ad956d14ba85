#include "control/patch_system.h"

namespace graft::control {

namespace {

using patch::FunctionView;
using patch::PatchView;
using patch::Refusal;
using patch::RefusalCode;
using patch::StateView;

// The registry's visitors as callables.
class PatchVisit final : public patch::PatchVisitor {
public:
    explicit PatchVisit(FunctionRef<void(const PatchView&)> visit) : visit_(visit) {}
    void patch(const PatchView& view) override { visit_(view); }

private:
    FunctionRef<void(const PatchView&)> visit_;
};

class FunctionVisit final : public patch::FunctionVisitor {
public:
    explicit FunctionVisit(FunctionRef<void(const FunctionView&)> visit) : visit_(visit) {}
    void function(const FunctionView& view) override { visit_(view); }

private:
    FunctionRef<void(const FunctionView&)> visit_;
};

class StateVisit final : public patch::StateVisitor {
public:
    explicit StateVisit(FunctionRef<void(const StateView&)> visit) : visit_(visit) {}
    void state(const StateView& view) override { visit_(view); }

private:
    FunctionRef<void(const StateView&)> visit_;
};

class LingeringPlaces final : public patch::LingeringVisitor {
public:
    explicit LingeringPlaces(FunctionRef<System::LingeringVisit> visit) : visit_(visit) {}
    void lingering(std::string_view name, std::span<const patch::Reference> places, u64 total) override;

private:
    FunctionRef<System::LingeringVisit> visit_;
};

// Names are unique at any time, and no two patches of one name are loaded at the same moment: so name and moment
// together identify a patch for ever. FNV-1a, folded to the length of an id.
u64 id_of(std::string_view name, u64 loaded_ns) {
    u64 hash = 0xcbf29ce484222325ull;
    auto mix = [&](u8 byte) { hash = (hash ^ byte) * 0x100000001b3ull; };
    for (char character : name) mix(static_cast<u8>(character));
    for (unsigned shift = 0; shift < 64; shift += 8) mix(static_cast<u8>(loaded_ns >> shift));
    return (hash ^ (hash >> 40)) % kIdLimit;
}

void LingeringPlaces::lingering(std::string_view name, std::span<const patch::Reference> places, u64) {
    visit_(id_of(name, 0), name, places);
}

ErrorNumber number_of(RefusalCode code) {
    switch (code) {
        case RefusalCode::name_taken:
        case RefusalCode::name_lingers:
            return ErrorNumber::exists;
        case RefusalCode::no_memory:
        case RefusalCode::too_many_patches:
            return ErrorNumber::no_memory;
        case RefusalCode::transition_running:
        case RefusalCode::canary_running:
        case RefusalCode::canary_turned:
        case RefusalCode::callback_running:
        case RefusalCode::function_taken:
        case RefusalCode::state_taken:
        case RefusalCode::already_leaving:
        case RefusalCode::on_probation:
        case RefusalCode::rollback_due:
            return ErrorNumber::busy;
        case RefusalCode::unknown_patch:
            return ErrorNumber::gone;
        default:
            return ErrorNumber::invalid;
    }
}

using RefusalText = Text<512>;

std::unexpected<ControlError> refuse_as(std::string_view patch, const Refusal& refusal) {
    RefusalText text;
    render(refusal, text);
    return refuse(number_of(refusal.code), patch, ": ", text.view());
}

std::unexpected<ControlError> refuse_gone() {
    return refuse(ErrorNumber::gone, "the patch is gone");
}

// One row a thing: what it is, then its columns.
class PlanRows final : public patch::PlanSink {
public:
    explicit PlanRows(GrowingText& out) : out_(out) {}

    void patch(const PatchView& view) override {
        out_.append("patch\t", view.name, '\t', view.set, '\t', view.version, '\t', view.description, '\n');
        if (!view.replaces.empty()) out_.append("replaces\t", view.replaces, '\n');
        out_.append("memory\t", view.memory_bytes, '\n');
    }
    void function(const FunctionView& view) override {
        out_.append(view.hold ? "hold\t" : "function\t", view.name, ',', view.position, '\t');
        out_.append(hex(view.entry.value, 16), '\t', view.old_size);
        if (!view.hold) out_.append('\t', view.new_size);
        out_.append('\n');
    }
    void state(const StateView& view) override {
        out_.append("state\t", view.id, '\t', view.version, '\t', view.name);
        if (view.irreversible) out_.append("\tirreversible");
        out_.append('\n');
    }
    void holder(u64 task, patch::Verdict::Kind why) override {
        bool is_inside = why == patch::Verdict::Kind::inside;
        out_.append("holder\t", task, is_inside ? "\tinside\n" : "\tunreliable\n");
    }
    void refusal(const Refusal& refusal) override {
        RefusalText text;
        render(refusal, text);
        out_.append("refused\t", text.view(), '\n');
        is_refused_ = true;
    }
    bool is_refused() const { return is_refused_; }

private:
    GrowingText& out_;
    bool is_refused_ = false;
};

}  // namespace

bool PatchSystem::next_history_line(u64& cursor, TextBuffer& line) {
    patch::HistoryRecord record;
    u64 last = 0;
    if (registry_.read_history(cursor, std::span(&record, 1), last) == 0) return false;
    cursor = record.number + 1;
    render(record, line);
    line.append('\n');
    return true;
}

void PatchSystem::visit_patches(FunctionRef<void(u64, const PatchView&)> visit) {
    auto with_id = [&](const PatchView& view) { visit(id_of(view.name, view.loaded_ns), view); };
    PatchVisit visitor(with_id);
    registry_.visit_patches(visitor);
}

bool PatchSystem::find_name(u64 patch, PatchName& name) {
    bool is_found = false;
    visit_patches([&](u64 id, const PatchView& view) {
        if (id != patch) return;
        name.assign(view.name);
        is_found = true;
    });
    return is_found;
}

bool PatchSystem::visit_states(u64 patch, FunctionRef<void(const StateView&)> visit) {
    PatchName name;
    if (!find_name(patch, name)) return false;
    StateVisit visitor(visit);
    return registry_.visit_states(name.view(), visitor);
}

bool PatchSystem::visit_functions(u64 patch, FunctionRef<void(const FunctionView&)> visit) {
    PatchName name;
    if (!find_name(patch, name)) return false;
    FunctionVisit visitor(visit);
    return registry_.visit_functions(name.view(), visitor);
}

void PatchSystem::visit_lingering(FunctionRef<System::LingeringVisit> visit) {
    LingeringPlaces visitor(visit);
    registry_.visit_lingering(visitor);
}

std::optional<ControlResult<void>> PatchSystem::outcome(u64 ticket) {
    auto outcome = registry_.outcome(ticket);
    if (!outcome) return std::nullopt;
    if (*outcome) return ControlResult<void>();
    RefusalText text;
    render(outcome->error(), text);
    return ControlResult<void>(refuse(number_of(outcome->error().code), text.view()));
}

ControlResult<void> PatchSystem::load(std::span<const std::byte> file, const LoadRequest& request) {
    u64 ticket = 0;
    patch::LoadOptions options{.source = request.source,
                               .allow_endless = request.allow_endless,
                               .allow_downgrade = request.allow_downgrade,
                               .probation_ns = request.probation_ns,
                               .deadline_ns = request.deadline_ns,
                               .canary = request.canary,
                               .health = request.health,
                               .nudge_period_ns = request.nudge_period_ns};
    auto result = registry_.load(file, request.name, options, &ticket);
    if (!result) return refuse_as(request.name, result.error());
    if (ticket != 0) return later(ticket);
    return {};
}

template <typename Request>
ControlResult<void> PatchSystem::ask(u64 patch, Request request) {
    PatchName name;
    if (!find_name(patch, name)) return refuse_gone();
    u64 ticket = 0;
    auto result = request(name.view(), &ticket);
    if (!result) return refuse_as(name.view(), result.error());
    if (ticket != 0) return later(ticket);
    return {};
}

ControlResult<void> PatchSystem::unregister(u64 patch, u64 deadline_ns) {
    return ask(patch,
               [&](std::string_view name, u64* ticket) { return registry_.unregister(name, deadline_ns, ticket); });
}

ControlResult<void> PatchSystem::rollback(u64 patch, u64 deadline_ns) {
    return ask(patch,
               [&](std::string_view name, u64* ticket) { return registry_.rollback(name, deadline_ns, ticket); });
}

ControlResult<void> PatchSystem::promote(u64 patch, u64 deadline_ns) {
    return ask(patch, [&](std::string_view name, u64*) { return registry_.promote(name, deadline_ns); });
}

ControlResult<void> PatchSystem::reverse(u64 patch) {
    return ask(patch, [&](std::string_view name, u64*) { return registry_.reverse(name); });
}

ControlResult<void> PatchSystem::commit(u64 patch) {
    return ask(patch, [&](std::string_view name, u64*) { return registry_.commit(name); });
}

ControlResult<void> PatchSystem::force(u64 patch) {
    return ask(patch, [&](std::string_view name, u64*) { return registry_.force(name); });
}

void PatchSystem::plan(std::span<const std::byte> file, patch::Source source, GrowingText& answer) {
    PlanRows rows(answer);
    registry_.plan(file, {}, {.source = source}, rows);
    if (!rows.is_refused()) answer.append("fits\n");
}

}  // namespace graft::control
