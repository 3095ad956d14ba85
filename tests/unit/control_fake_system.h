// A system for the control tree's tests: patches, tasks, log and history as plain data, and a record of what was asked
// for.
#pragma once

#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/system.h"

namespace graft::control::testing {

struct FakeFunction {
    std::string name;
    u32 position = 1;
    u64 entry = 0;
    bool hold = false;
};

struct FakePatch {
    u64 id = 0;
    std::string name;
    bool enabled = true;
    bool in_transition = false;
    std::vector<FakeFunction> functions;
};

struct FakeTask {
    u64 id = 0;
    std::string name;
};

class FakeSystem final : public System {
public:
    std::vector<FakePatch> patches;
    std::vector<FakePatch> lingering;
    patch::MeasuredFunction measured;  // of every function
    std::vector<FakeTask> tasks{{1, "idle/0"}, {2, "worker"}};
    std::vector<std::string> log;
    std::vector<std::string> history;
    std::vector<std::string> notes;
    std::vector<std::string> loads;  // name, size and options of each load
    std::string loaded_bytes;        // of the last load
    std::string refuse_load;         // a load is refused with this text
    std::string symbols = "ffffffff80201000\tfunction\t16\t1\tmain\n";
    u64 next_id = 1;
    bool decide_later = false;            // loads and unloads wait until their outcome is put into `outcomes`
    std::map<u64, std::string> outcomes;  // by ticket: "" or why it was refused
    u64 last_ticket = 0;
    LoadRequest last_load;  // without its name
    u64 last_deadline_ns = 0;

    std::optional<ControlResult<void>> outcome(u64 ticket) override {
        auto at = outcomes.find(ticket);
        if (at == outcomes.end()) return std::nullopt;
        if (at->second.empty()) return ControlResult<void>();
        return ControlResult<void>(refuse(ErrorNumber::invalid, at->second));
    }

    u64 add_patch(std::string name) {
        patches.push_back({next_id,
                           std::move(name),
                           true,
                           false,
                           {{"_ZN4demo4workEv", 1, 0xffffffff80201230, false},
                            {"_ZN4demo4holdEv", 1, 0xffffffff80201500, true},
                            {std::string(250, 'f'), 2, 0xffffffff80201600, false}}});
        return next_id++;
    }

    void write_version(GrowingText& out) override { out.append("graft\n"); }
    void write_tainted(GrowingText& out) override { out.append("0\n"); }
    void write_symbols(GrowingText& out) override { out.append(symbols); }
    void write_metrics(GrowingText& out) override { out.append("graft_patches ", patches.size(), '\n'); }

    bool next_log_line(u64& cursor, TextBuffer& line) override { return next_line(log, cursor, line); }
    bool next_history_line(u64& cursor, TextBuffer& line) override { return next_line(history, cursor, line); }

    void visit_tasks(FunctionRef<void(const TaskView&)> visit) override {
        for (const FakeTask& task : tasks) visit(view(task));
    }
    bool visit_task(u64 id, FunctionRef<void(const TaskView&)> visit) override {
        for (const FakeTask& task : tasks) {
            if (task.id == id) return visit(view(task)), true;
        }
        return false;
    }
    bool write_stack(u64 task, GrowingText& out) override {
        out.append("0\tmain+0x4\n");
        return visit_task(task, [](const TaskView&) {});
    }

    bool write_moves(u64 task, GrowingText& out) override {
        out.append("1.500\twalk\t1\n");
        return visit_task(task, [](const TaskView&) {});
    }

    void visit_patches(FunctionRef<void(u64, const patch::PatchView&)> visit) override {
        for (const FakePatch& patch : patches) {
            patch::PatchView view;
            view.name = patch.name;
            view.set = patch.name;
            view.version = "1";
            view.description = "a fix";
            view.enabled = patch.enabled;
            view.in_transition = patch.in_transition;
            view.func_count = patch.functions.size();
            visit(patch.id, view);
        }
    }
    bool visit_functions(u64 id, FunctionRef<void(const patch::FunctionView&)> visit) override {
        FakePatch* patch = find(id);
        if (patch == nullptr) return false;
        for (const FakeFunction& function : patch->functions) {
            patch::FunctionView view;
            view.name = function.name;
            view.position = function.position;
            view.entry = VirtAddr(function.entry);
            view.old_size = 32;
            view.new_function = VirtAddr(u64{0xffffffff90000000});
            view.measured = measured;
            view.new_size = 48;
            view.hold = function.hold;
            view.patched = true;
            visit(view);
        }
        return true;
    }
    bool visit_states(u64 id, FunctionRef<void(const patch::StateView&)> visit) override {
        FakePatch* patch = find(id);
        if (patch == nullptr) return false;
        visit({7, 2, "limits", patch->name, "present", true});
        visit({8, 1, "cache", "", "absent", false});
        return true;
    }
    bool write_blocking(u64 id, GrowingText& out) override {
        if (find(id) == nullptr) return false;
        out.append("2\tworker\twork\n");
        return true;
    }
    void visit_lingering(FunctionRef<LingeringVisit> visit) override {
        for (const FakePatch& patch : lingering) {
            patch::Reference place;
            place.kind = patch::Reference::Kind::stack;
            place.place = VirtAddr(u64{0x1000});
            place.word = 0x2000;
            place.owner = 7;
            visit(patch.id, patch.name, std::span(&place, 1));
        }
    }

    ControlResult<void> load(std::span<const std::byte> file, const LoadRequest& request) override {
        loads.push_back(std::string(request.name) + " " + std::to_string(file.size()) +
                        (request.allow_endless ? " allow_endless" : ""));
        last_load = request;
        last_load.name = {};
        loaded_bytes.assign(reinterpret_cast<const char*>(file.data()), file.size());
        if (decide_later) return later(++last_ticket);
        if (!refuse_load.empty()) return refuse(ErrorNumber::invalid, refuse_load);
        add_patch(std::string(request.name));
        return {};
    }
    ControlResult<void> unregister(u64 id, u64 deadline_ns) override {
        FakePatch* patch = find(id);
        if (patch == nullptr) return refuse(ErrorNumber::gone, "the patch is gone");
        if (decide_later) return later(++last_ticket);
        last_deadline_ns = deadline_ns;
        history.push_back("unloaded " + patch->name);
        std::erase_if(patches, [&](const FakePatch& other) { return other.id == id; });
        return {};
    }
    ControlResult<void> reverse(u64 id) override {
        FakePatch* patch = find(id);
        if (patch == nullptr) return refuse(ErrorNumber::gone, "the patch is gone");
        if (!patch->in_transition) return refuse(ErrorNumber::invalid, patch->name, " is not in transition");
        history.push_back("reversed " + patch->name);
        return {};
    }
    ControlResult<void> rollback(u64 id, u64 deadline_ns) override {
        last_deadline_ns = deadline_ns;
        return note_request(id, "rolled back ");
    }
    ControlResult<void> promote(u64 id, u64 deadline_ns) override {
        last_deadline_ns = deadline_ns;
        return note_request(id, "promoted ");
    }
    ControlResult<void> commit(u64 id) override { return note_request(id, "committed "); }
    ControlResult<void> force(u64 id) override { return note_request(id, "forced "); }
    void search_lingering() override { history.emplace_back("searched"); }
    ControlResult<void> nudge(u64 id, u64 task) override {
        FakePatch* patch = find(id);
        if (patch == nullptr) return refuse(ErrorNumber::gone, "the patch is gone");
        if (task == 0) return refuse(ErrorNumber::invalid, "nudge 0: there is no such task");
        history.push_back("nudged " + std::to_string(task));
        return {};
    }
    void plan(std::span<const std::byte> file, patch::Source, GrowingText& answer) override {
        answer.append("plan of ", file.size(), " bytes\n");
    }
    void note(std::string_view text) override { notes.emplace_back(text); }

private:
    ControlResult<void> note_request(u64 id, const char* what) {
        FakePatch* patch = find(id);
        if (patch == nullptr) return refuse(ErrorNumber::gone, "the patch is gone");
        history.push_back(what + patch->name);
        return {};
    }
    FakePatch* find(u64 id) {
        for (FakePatch& patch : patches) {
            if (patch.id == id) return &patch;
        }
        return nullptr;
    }
    static TaskView view(const FakeTask& task) { return {task.id, task.name, "ready", 0, 16, -1}; }
    static bool next_line(const std::vector<std::string>& lines, u64& cursor, TextBuffer& line) {
        if (cursor >= lines.size()) return false;
        line.append(lines[cursor++], '\n');
        return true;
    }
};

}  // namespace graft::control::testing
