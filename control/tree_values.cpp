// The contents of the control tree's values and lists, and what writing them does.
#include <optional>

#include "control/decimal.h"
#include "control/duration.h"
#include "control/tree.h"

namespace graft::control {

namespace {

constexpr unsigned kAddressDigits = 16;
constexpr u64 kSecond = 1'000'000'000;
constexpr std::string_view kOneOrDeadline = "1, or 1 deadline=TIME";

// "1", perhaps with " deadline=TIME" behind it; no deadline is 0.
std::optional<u64> deadline_of(std::string_view text) {
    constexpr std::string_view kStart = "1 deadline=";
    if (text == "1") return u64{0};
    if (!text.starts_with(kStart)) return std::nullopt;
    text.remove_prefix(kStart.size());
    return parse_duration(text);
}

std::unexpected<ControlError> refuse_value(std::string_view name, std::string_view text, std::string_view allowed) {
    return refuse(ErrorNumber::invalid, name, " can't be set to '", text, "', only to ", allowed);
}

// Share, tasks of it that have moved, that belong to it, that it is taken of, what the canary is doing, and its age in
// seconds; nothing when there is none.
void append_canary(GrowingText& out, const patch::CanaryView& canary) {
    if (!canary.policy) return;
    Text<128> share;
    render(canary.policy, share);
    std::string_view stage = "moving";
    if (canary.has_moved) stage = "held";
    if (canary.promoted) stage = "promoted";
    if (canary.turned) stage = "reversed";
    out.append(share.view(), '\t', canary.share.moved, '\t', canary.share.chosen, '\t', canary.share.total, '\t', stage,
               '\t', canary.age_ns / kSecond);
}

std::string_view name_of(patch::Reference::Kind kind) {
    switch (kind) {
        case patch::Reference::Kind::data:
            return "data";
        case patch::Reference::Kind::heap:
            return "heap";
        case patch::Reference::Kind::stack:
            return "stack";
        case patch::Reference::Kind::registers:
            return "registers";
        case patch::Reference::Kind::timer:
            return "timer";
        case patch::Reference::Kind::interrupt_handler:
            return "interrupt_handler";
        case patch::Reference::Kind::task_entry:
            return "task_entry";
        case patch::Reference::Kind::patch_data:
            return "patch_data";
    }
    return "unknown";
}

}  // namespace

// ---- Writing

ControlResult<void> ControlTree::write_value(Node node, std::string_view text) {
    if (node.kind == NodeKind::lingering_patch) {
        if (text != "1") return refuse_value("a lingering patch", text, "1");
        system_.search_lingering();
        return {};
    }
    if (node.kind != NodeKind::patch_attribute) return refuse(ErrorNumber::no_access, "the file can't be written");
    switch (static_cast<PatchAttribute>(node.index)) {
        case PatchAttribute::enabled:
            if (text != "0") return refuse_value("enabled", text, "0");
            return system_.unregister(node.id, 0);
        case PatchAttribute::unregister:
            if (auto deadline = deadline_of(text)) return system_.unregister(node.id, *deadline);
            return refuse_value("unregister", text, kOneOrDeadline);
        case PatchAttribute::rollback:
            if (auto deadline = deadline_of(text)) return system_.rollback(node.id, *deadline);
            return refuse_value("rollback", text, kOneOrDeadline);
        case PatchAttribute::promote:
            if (auto deadline = deadline_of(text)) return system_.promote(node.id, *deadline);
            return refuse_value("promote", text, kOneOrDeadline);
        case PatchAttribute::commit:
            if (text != "1") return refuse_value("commit", text, "1");
            return system_.commit(node.id);
        case PatchAttribute::force:
            if (text != "1") return refuse_value("force", text, "1");
            return system_.force(node.id);
        case PatchAttribute::transition:
            if (text != "0") return refuse_value("transition", text, "0");
            return system_.reverse(node.id);
        case PatchAttribute::nudge: {
            auto task = parse_decimal(text);
            if (!task) return refuse_value("nudge", text, "a task's id");
            return system_.nudge(node.id, *task);
        }
        default:
            return refuse(ErrorNumber::no_access, "the file can't be written");
    }
}

ControlResult<void> ControlTree::make_plan(std::span<const std::byte> patch) {
    last_plan_.release();
    GrowingText answer(last_plan_);
    system_.plan(patch, source_, answer);
    if (answer.failed()) return refuse_memory();
    return {};
}

// ---- Reading

ControlResult<void> ControlTree::read_value(Node node, ByteBuffer& out) {
    GrowingText text(out);
    GRAFT_CHECK(render(node, text));
    if (text.failed()) return refuse(ErrorNumber::no_memory, "the file takes more memory than a client may use");
    return {};
}

ControlResult<void> ControlTree::render(Node node, GrowingText& out) {
    switch (node.kind) {
        case NodeKind::version:
            system_.write_version(out);
            return {};
        case NodeKind::tainted:
            system_.write_tainted(out);
            return {};
        case NodeKind::symbols:
            system_.write_symbols(out);
            return {};
        case NodeKind::metrics:
            system_.write_metrics(out);
            return {};
        case NodeKind::task_attribute:
            return render_task(node, out);
        case NodeKind::lingering_patch:
            return render_lingering(node, out);
        case NodeKind::patch_attribute:
            return render_patch(node, out);
        default:
            return render_function(node, out);
    }
}

ControlResult<void> ControlTree::render_task(Node node, GrowingText& out) {
    auto attribute = static_cast<TaskAttribute>(node.index);
    auto write = [&](const TaskView& task) {
        switch (attribute) {
            case TaskAttribute::name:
                out.append(task.name);
                break;
            case TaskAttribute::state:
                out.append(task.state);
                break;
            case TaskAttribute::cpu:
                out.append(task.processor);
                break;
            case TaskAttribute::priority:
                out.append(task.priority);
                break;
            case TaskAttribute::patch_state:
                out.append(task.patch_state);
                break;
            case TaskAttribute::stack:
            case TaskAttribute::moves:
                return;
        }
        out.append('\n');
    };
    bool is_there = attribute == TaskAttribute::stack   ? system_.write_stack(node.id, out)
                    : attribute == TaskAttribute::moves ? system_.write_moves(node.id, out)
                                                        : system_.visit_task(node.id, write);
    if (!is_there) return refuse(ErrorNumber::gone, "the task is gone");
    return {};
}

namespace {

void append_rules(const patch::HealthRules& rules, GrowingText& out) {
    std::string_view between;
    for (const patch::HealthRule& rule : rules.span()) {
        Text<64> text;
        patch::render(rule, text);
        out.append(between, text.view());
        between = " ";
    }
}

}  // namespace

ControlResult<void> ControlTree::render_patch(Node node, GrowingText& out) {
    auto attribute = static_cast<PatchAttribute>(node.index);
    bool is_there = false;
    if (attribute == PatchAttribute::blocking) {
        is_there = system_.write_blocking(node.id, out);
    } else if (attribute == PatchAttribute::states) {
        is_there = render_states(node, out);
    } else {
        system_.visit_patches([&](u64 id, const patch::PatchView& patch) {
            if (id != node.id) return;
            is_there = true;
            switch (attribute) {
                case PatchAttribute::enabled:
                    out.append(patch.enabled ? '1' : '0');
                    break;
                case PatchAttribute::transition:
                    out.append(patch.in_transition ? '1' : '0');
                    break;
                case PatchAttribute::set:
                    out.append(patch.set);
                    break;
                case PatchAttribute::version:
                    out.append(patch.version);
                    break;
                case PatchAttribute::description:
                    out.append(patch.description);
                    break;
                case PatchAttribute::fixes:
                    out.append(patch.fixes);
                    break;
                case PatchAttribute::built_from:
                    out.append(patch.built_from);
                    break;
                case PatchAttribute::built_with:
                    out.append(patch.built_with);
                    break;
                case PatchAttribute::signer:
                    out.append(patch.signer);
                    break;
                case PatchAttribute::replaces:
                    out.append(patch.replaces);
                    break;
                case PatchAttribute::probation:
                    out.append((patch.probation_left_ns + kSecond - 1) / kSecond);
                    break;
                case PatchAttribute::abort_if:
                    append_rules(patch.health, out);
                    break;
                case PatchAttribute::dormant:
                    out.append(patch.dormant);
                    break;
                case PatchAttribute::faults:
                    out.append(patch.faults);
                    break;
                case PatchAttribute::canary:
                    append_canary(out, patch.canary);
                    break;
                case PatchAttribute::unregister:
                case PatchAttribute::promote:
                case PatchAttribute::force:
                case PatchAttribute::commit:
                case PatchAttribute::rollback:
                case PatchAttribute::nudge:
                case PatchAttribute::blocking:
                case PatchAttribute::states:
                    break;
            }
            out.append('\n');
        });
    }
    if (!is_there) return refuse(ErrorNumber::gone, "the patch is gone");
    return {};
}

bool ControlTree::render_states(Node node, GrowingText& out) {
    return system_.visit_states(node.id, [&](const patch::StateView& state) {
        out.append(state.id, '\t', state.version, '\t', state.owner, '\t', state.name, '\t', state.stage);
        if (state.irreversible) out.append("\tirreversible");
        out.append('\n');
    });
}

namespace {

void append_latency(std::string_view version, const patch::MeasuredCalls& calls, GrowingText& out) {
    out.append(version, '\t', calls.timed, '\t', calls.min_ns, '\t', calls.mean_ns, '\t', calls.p99_ns, '\n');
}

// Nothing of a function that isn't measured.
void render_measured(NodeKind kind, const patch::MeasuredFunction& function, GrowingText& out) {
    if (!function.is_measured) return;
    if (kind == NodeKind::function_latency) {
        append_latency("old", function.before, out);
        append_latency("new", function.after, out);
        return;
    }
    bool is_calls = kind == NodeKind::function_calls;
    out.append(is_calls ? function.before.calls : function.before.faults, '\t');
    out.append(is_calls ? function.after.calls : function.after.faults, '\n');
}

}  // namespace

ControlResult<void> ControlTree::render_function(Node node, GrowingText& out) {
    u16 index = 0;
    bool is_there = system_.visit_functions(node.id, [&](const patch::FunctionView& function) {
        if (index++ != node.index) return;
        switch (node.kind) {
            case NodeKind::function_address:
                out.append(hex(function.entry.value, kAddressDigits));
                break;
            case NodeKind::function_patched:
                out.append(function.patched ? '1' : '0');
                break;
            case NodeKind::function_old:
                out.append(hex(function.entry.value, kAddressDigits), '\t', function.old_size);
                break;
            case NodeKind::function_new:
                out.append(hex(function.new_function.value, kAddressDigits), '\t', function.new_size);
                break;
            default:
                return render_measured(node.kind, function.measured, out);
        }
        out.append('\n');
    });
    if (!is_there) return refuse(ErrorNumber::gone, "the patch is gone");
    return {};
}

ControlResult<void> ControlTree::render_lingering(Node node, GrowingText& out) {
    bool is_there = false;
    system_.visit_lingering([&](u64 id, std::string_view, std::span<const patch::Reference> places) {
        if (id != node.id) return;
        is_there = true;
        for (const patch::Reference& place : places) {
            out.append(hex(place.place.value, kAddressDigits), '\t', name_of(place.kind));
            if (place.owner != 0) out.append(' ', place.owner);
            out.append('\t', hex(place.word, kAddressDigits), '\n');
        }
    });
    if (!is_there) return refuse(ErrorNumber::gone, "the patch does not linger any more");
    return {};
}

}  // namespace graft::control
