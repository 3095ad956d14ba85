// Measuring of canaries: its end, and the health rules that look at what was counted.
#include "patch/machine_refusal.h"
#include "patch/registry.h"

namespace graft::patch {

namespace {

constexpr usize kShownName = 60;

// In microseconds with one decimal: reasons are for people.
void append_us(TextBuffer& out, u64 ns) {
    out.append(ns / 1000, ".", ns % 1000 / 100, " us");
}

void explain(const HealthRule& rule, const Func& func, const MeasuredFunction& counted, TextBuffer& out) {
    out.append(func.old.name.substr(0, kShownName), " took ");
    append_us(out, counted.after.p99_ns);
    out.append(", before ");
    append_us(out, counted.before.p99_ns);
    out.append(" (p99; rule ");
    render(rule, out);
    out.append(")");
}

}  // namespace

// Of a patch on probation, whose functions all lead to measuring. When it can't end, neither may the probation: the
// no-op funcs, whose sites lead there too, go with the predecessor.
RefusalResult<void> Registry::end_measuring(Patch& patch) {
    if (!patch.is_measured) return {};
    usize count = patch.funcs.size() + patch.no_ops.size();
    RecordArray<Dispatch> dispatches;
    RecordArray<SiteChange> changes;
    if (!dispatches.create(machine_, count) || !changes.create(machine_, count))
        return refuse(RefusalCode::no_memory, patch.texts.name);
    usize next = 0;
    for (const auto* funcs : {&patch.funcs, &patch.no_ops}) {
        for (const Func& func : *funcs) {
            dispatches[next].entry = func.old.entry;
            changes[next++] = {func.old.entry, func.new_function};
        }
    }
    if (count != 0) {
        if (auto written = machine_.write_sites(changes.span()); !written)
            return std::unexpected(refusal_of(written.error(), patch.texts.name));
    }
    machine_.stop_measuring(dispatches.span());
    patch.is_measured = false;
    return {};
}

// Is the patch one that its rules may take back now?
bool Registry::is_watched_by_rules(const Patch& patch) const {
    if (patch.health.empty()) return false;
    if (patch.stage == Stage::enabled) return patch.is_on_probation() && !patch.rollback_due;
    bool is_appearing = patch.stage == Stage::appearing && is_moving() && transition_->is_forward();
    return is_appearing && transition_->change().kind == Change::Kind::load;
}

// Contained ones, measured or not.
u64 Registry::faults_of(const Patch& patch) const {
    u64 faults = 0;
    for (const auto* funcs : {&patch.funcs, &patch.no_ops}) {
        for (const Func& func : *funcs) faults += machine_.measured(func.old.entry).after.faults;
    }
    return faults > patch.faults ? faults : patch.faults;
}

// Whether a rule of the patch is broken; `reason` gets which and how.
bool Registry::breaks_rules(const Patch& patch, TextBuffer& reason) const {
    for (const HealthRule& rule : patch.health.span()) {
        if (rule.kind == HealthRule::Kind::faults) {
            u64 faults = faults_of(patch);
            if (faults <= rule.limit) continue;
            reason.append(faults, faults == 1 ? " fault (rule " : " faults (rule ");
            render(rule, reason);
            reason.append(")");
            return true;
        }
        for (const auto* funcs : {&patch.funcs, &patch.no_ops}) {
            for (const Func& func : *funcs) {
                MeasuredFunction counted = machine_.measured(func.old.entry);
                if (!is_broken(rule, counted)) continue;
                explain(rule, func, counted, reason);
                return true;
            }
        }
    }
    return false;
}

void Registry::check_health() {
    Label<200> name;
    Text<200> reason;
    {
        MachineGuard guard(machine_);
        for (const Patch& patch : patches_) {
            if (!is_watched_by_rules(patch) || !breaks_rules(patch, reason)) continue;
            name.assign(patch.texts.name);
            break;
        }
    }
    // What became of the patch meanwhile, withdraw() sees.
    if (!reason.view().empty()) (void)withdraw(name.view(), reason.view());
}

}  // namespace graft::patch
