#include "control/kernel_system.h"

#include "formats/release.h"
#include "kernel/clock.h"
#include "kernel/code_map.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/nudge.h"
#include "kernel/patch_callbacks.h"
#include "kernel/patch_moves.h"
#include "kernel/task_list.h"
#include "kernel/task_view.h"
#include "kernel/trust.h"

namespace graft::control {

namespace {

constexpr unsigned kAddressDigits = 16;

std::string_view name_of(formats::SymbolType type) {
    switch (type) {
        case formats::SymbolType::function:
            return "function";
        case formats::SymbolType::object:
            return "object";
        case formats::SymbolType::mark:
            return "mark";
    }
    return "unknown";
}

void append_build_id(GrowingText& out) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (auto byte : kernel::image_tables().build_id()) {
        auto value = static_cast<u8>(byte);
        out.append(kDigits[value >> 4], kDigits[value & 15]);
    }
}

// Seconds with three decimals.
void append_seconds(GrowingText& out, u64 ns) {
    u64 milliseconds = ns / 1'000'000;
    out.append(milliseconds / 1000, '.');
    u64 rest = milliseconds % 1000;
    if (rest < 100) out.append('0');
    if (rest < 10) out.append('0');
    out.append(rest);
}

void append_metric(GrowingText& out, std::string_view name, u64 value) {
    out.append(name, ' ', value, '\n');
}

// A label's value in Prometheus' text format.
void append_label(GrowingText& out, std::string_view name, std::string_view value) {
    out.append(name, "=\"");
    for (char character : value) {
        if (character == '\\' || character == '"') out.append('\\');
        if (character == '\n') {
            out.append("\\n");
        } else {
            out.append(character);
        }
    }
    out.append('"');
}

TaskView view_of(const kernel::TaskView& task, int patch_state) {
    TaskView view;
    view.id = task.id;
    view.name = task.name_view();
    view.state = kernel::name_of(task.state);
    view.processor = static_cast<int>(task.processor);
    view.priority = task.priority;
    view.patch_state = patch_state;
    return view;
}

class Tasks final : public kernel::TaskSink {
public:
    explicit Tasks(FunctionRef<void(const kernel::TaskView&)> visit) : visit_(visit) {}
    void task(const kernel::TaskView& view) override { visit_(view); }

private:
    FunctionRef<void(const kernel::TaskView&)> visit_;
};

// task, name, function, frame, since
class BlockingRows final : public kernel::BlockingSink {
public:
    explicit BlockingRows(GrowingText& out) : out_(out) {}

    void blocking(const kernel::BlockingView& view) override {
        out_.append(view.id, '\t', view.name_view(), '\t');
        Text<512> function;
        kernel::append_held_in(function, view);
        out_.append(function.view(), '\t', hex(view.frame.value, kAddressDigits), '\t');
        u64 now = kernel::now_ns();
        append_seconds(out_, view.since_ns == 0 || view.since_ns > now ? 0 : now - view.since_ns);
        out_.append('\n');
    }

private:
    GrowingText& out_;
};

// The functions of patches. Positions are ranks in the image, where these aren't: 0.
class CodeRows final : public patch::CodeVisitor {
public:
    explicit CodeRows(GrowingText& out) : out_(out) {}

    void code(const patch::PatchCode& code) override {
        for (const patch::CodeSymbol& symbol : code.symbols) {
            if (out_.failed()) return;
            out_.append(hex(symbol.address.value, kAddressDigits), '\t', name_of(formats::SymbolType::function), '\t',
                        symbol.size, "\t0\t", symbol.name, '\t', code.patch_name, '\n');
        }
    }

private:
    GrowingText& out_;
};

}  // namespace

void KernelSystem::write_version(GrowingText& out) {
    out.append("graft ", formats::kRelease, "\nbuild-id ");
    append_build_id(out);
    out.append("\ncompiler gcc ", __VERSION__, '\n');
}

void KernelSystem::write_tainted(GrowingText& out) {
    bool is_tainted = false;
    for (usize index = 0; index < kernel::kTaintCount; ++index) {
        auto taint = static_cast<kernel::Taint>(index);
        if (!kernel::has_taint(taint)) continue;
        is_tainted = true;
        out.append(kernel::name_of(taint), '\t', kernel::describe(taint), '\n');
    }
    if (patch::TaintView taint = registry().taint(); taint.forced != 0) {
        is_tainted = true;
        out.append("forced\t", taint.forced, " transitions were forced, the last one of ", taint.last_forced.view(),
                   '\n');
    }
    if (!is_tainted) out.append("0\n");
}

// address, type, size, position, name; of a patch's functions also the patch
void KernelSystem::write_symbols(GrowingText& out) {
    const formats::ImageTables& tables = kernel::image_tables();
    for (u32 index = 0; index < tables.symbol_count() && !out.failed(); ++index) {
        formats::ImageSymbol symbol = tables.symbol(index);
        out.append(hex(tables.address(symbol).value, kAddressDigits), '\t', name_of(symbol.type), '\t', symbol.size);
        out.append('\t', symbol.position, '\t', tables.name(symbol), '\n');
    }
    CodeRows rows(out);
    registry().visit_code(rows);
}

void KernelSystem::write_metrics(GrowingText& out) {
    out.append("graft_build_info{build_id=\"");
    append_build_id(out);
    out.append("\",compiler=\"gcc ", __VERSION__, "\"} 1\n");
    out.append("graft_uptime_seconds ");
    append_seconds(out, kernel::now_ns());
    out.append('\n');
    append_metric(out, "graft_tasks", kernel::task_count());
    kernel::PageStatistics pages = kernel::page_statistics();
    append_metric(out, "graft_pages", pages.total);
    append_metric(out, "graft_pages_free", pages.free);
    kernel::HeapStatistics heap = kernel::heap_statistics();
    append_metric(out, "graft_heap_objects", heap.objects);
    append_metric(out, "graft_heap_bytes", heap.bytes);
    kernel::HeapStatistics records = kernel::records_statistics();
    append_metric(out, "graft_records_objects", records.objects);
    append_metric(out, "graft_records_bytes", records.bytes);
    append_metric(out, "graft_code_regions", kernel::code_region_count());
    write_patch_metrics(out);
}

void KernelSystem::write_patch_metrics(GrowingText& out) {
    auto transition = registry().transition();
    append_metric(out, "graft_transition_running", transition ? 1 : 0);
    append_metric(out, "graft_transition_tasks_to_move", transition ? transition->tasks_to_move : 0);
    append_metric(out, "graft_unauthenticated_refusals_total", registry().unauthenticated_refusals());
    u64 patches = 0;
    visit_patches([&](u64, const patch::PatchView& view) {
        ++patches;
        out.append("graft_patch_enabled{");
        append_label(out, "patch", view.name);
        out.append(',');
        append_label(out, "set", view.set);
        out.append(',');
        append_label(out, "version", view.version);
        out.append(',');
        append_label(out, "fixes", view.fixes);
        out.append(',');
        append_label(out, "built_from", view.built_from);
        out.append(',');
        append_label(out, "built_with", view.built_with);
        out.append("} ", view.enabled ? 1 : 0, '\n');
        out.append("graft_patch_memory_bytes{");
        append_label(out, "patch", view.name);
        out.append("} ", view.memory_bytes, '\n');
        out.append("graft_patch_faults{");
        append_label(out, "patch", view.name);
        out.append("} ", view.faults, '\n');
    });
    append_metric(out, "graft_patches", patches);
    u64 lingering = 0;
    visit_lingering([&](u64, std::string_view, std::span<const patch::Reference>) { ++lingering; });
    append_metric(out, "graft_patches_lingering", lingering);
}

bool KernelSystem::next_log_line(u64& cursor, TextBuffer& line) {
    kernel::LogRecord record;
    auto read = kernel::read_log(cursor, record);
    if (!read.found) return false;
    if (read.lost != 0) line.append("[log: ", read.lost, " records lost]\n");
    kernel::append_log_line(line, record);
    return true;
}

int KernelSystem::shown_patch_state(u8 universe) {
    auto transition = registry().transition();
    if (!transition) return -1;
    bool has_moved = static_cast<patch::Universe>(universe) == kernel::move_target();
    return has_moved == transition->appearing ? 1 : 0;
}

void KernelSystem::visit_tasks(FunctionRef<void(const TaskView&)> visit) {
    auto show = [&](const kernel::TaskView& task) { visit(view_of(task, shown_patch_state(task.patch_state))); };
    Tasks tasks(show);
    kernel::view_tasks(tasks);
}

bool KernelSystem::visit_task(u64 id, FunctionRef<void(const TaskView&)> visit) {
    auto task = kernel::view_task(id);
    if (!task) return false;
    visit(view_of(*task, shown_patch_state(task->patch_state)));
    return true;
}

bool KernelSystem::write_stack(u64 task, GrowingText& out) {
    auto stack = kernel::view_stack(task);
    if (!stack) return false;
    for (VirtAddr pc : std::span(stack->pcs).first(stack->count)) {
        Text<512> name;
        kernel::append_code_name(name, pc);
        out.append(name.view(), '\n');
    }
    if (stack->cut) out.append("(more)\n");
    if (!stack->reliable) out.append("(not reliable: ", stack->why, ")\n");
    return true;
}

// seconds since boot, cause, universe
bool KernelSystem::write_moves(u64 id, GrowingText& out) {
    auto task = kernel::view_task(id);
    if (!task) return false;
    for (const kernel::Move& move : std::span(task->moves).first(task->move_count)) {
        append_seconds(out, move.time_us * 1000);
        out.append('\t', patch::name_of(move.cause), '\t', static_cast<u32>(move.into), '\n');
    }
    return true;
}

bool KernelSystem::write_blocking(u64 patch, GrowingText& out) {
    bool is_there = false;
    bool is_in_transition = false;
    visit_patches([&](u64 id, const patch::PatchView& view) {
        if (id != patch) return;
        is_there = true;
        is_in_transition = view.in_transition;
    });
    if (is_there) write_callback(patch, out);
    if (!is_in_transition) return is_there;
    BlockingRows rows(out);
    kernel::view_blocking(rows);
    return true;
}

// A callback of the patch that runs: its task, as a row like the others; the callback stands for the function.
void KernelSystem::write_callback(u64 patch, GrowingText& out) {
    auto callback = registry().callback();
    PatchName name;
    if (!callback || !find_name(patch, name) || callback->patch.view() != name.view()) return;
    out.append(kernel::callback_task_id(), '\t', kernel::kCallbackTaskName, '\t', callback->callback, " of state ",
               callback->state.view(), callback->overdue ? " (past its time)" : "", '\t', hex(0, kAddressDigits), '\t');
    append_seconds(out, callback->running_ns);
    out.append('\n');
}

ControlResult<void> KernelSystem::nudge(u64 patch, u64 task) {
    std::optional<bool> is_in_transition;
    visit_patches([&](u64 id, const patch::PatchView& view) {
        if (id == patch) is_in_transition = view.in_transition;
    });
    if (!is_in_transition) return refuse(ErrorNumber::gone, "the patch is gone");
    if (!*is_in_transition) return refuse(ErrorNumber::invalid, "nudge: the patch is in no transition");
    auto nudged = kernel::nudge_task(task);
    if (!nudged) return refuse(ErrorNumber::invalid, "nudge ", task, ": ", kernel::name_of(nudged.error()));
    return {};
}

void KernelSystem::note(std::string_view text) {
    kernel::log(kernel::LogLevel::info, text);
}

}  // namespace graft::control
