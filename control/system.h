// System: what the control tree shows of the system and may change in it. The tree's only way to the rest of the house,
// so that tree and server run on the host as well.
//
// Patches are named here by an id: a number below kIdLimit that is not given to another patch when one goes. Views are
// valid during the visit that hands them out; a visitor neither sleeps nor calls the system. What a request changes has
// begun when it returns, and has not ended: nothing here waits for a transition. A request that waits for a callback to
// begin says later(); outcome() then has its answer.
//
// Implementations do their own locking. Context: task.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "base/function_ref.h"
#include "base/text.h"
#include "base/types.h"
#include "control/buffer.h"
#include "control/error.h"
#include "patch/canary.h"
#include "patch/health.h"
#include "patch/views.h"

namespace graft::control {

inline constexpr u64 kIdLimit = u64{1} << 40;

struct TaskView {
    u64 id = 0;  // below kIdLimit
    std::string_view name;
    std::string_view state;
    int processor = -1;  // that it runs on or ran on last; -1: none yet
    int priority = 0;
    int patch_state = -1;  // while a transition runs 0 or 1: without or with the patch; else -1
};

struct LoadRequest {
    std::string_view name;  // the patch's name
    bool allow_endless = false;
    bool allow_downgrade = false;
    u64 probation_ns = 0;  // 0: none
    u64 deadline_ns = 0;   // 0: none
    patch::CanaryPolicy canary;
    u64 nudge_period_ns = 0;  // 0: nobody is nudged by itself
    patch::HealthRules health;
    patch::Source source = patch::Source::network;
};

class System {
public:
    // Whole files, one item a line.
    virtual void write_version(GrowingText& out) = 0;
    virtual void write_tainted(GrowingText& out) = 0;
    virtual void write_symbols(GrowingText& out) = 0;
    virtual void write_metrics(GrowingText& out) = 0;

    // The next line, its end included, of the log or the history from `cursor` on, which moves on; 0 is the oldest that
    // is kept. False when there is none yet. Whoever serves the tree is woken when there is one.
    virtual bool next_log_line(u64& cursor, TextBuffer& line) = 0;
    virtual bool next_history_line(u64& cursor, TextBuffer& line) = 0;

    virtual void visit_tasks(FunctionRef<void(const TaskView&)> visit) = 0;
    // False when there is no such task.
    virtual bool visit_task(u64 id, FunctionRef<void(const TaskView&)> visit) = 0;
    virtual bool write_stack(u64 task, GrowingText& out) = 0;
    // The task's last moves, oldest first, one a line. False when there is no such task.
    virtual bool write_moves(u64 task, GrowingText& out) = 0;

    virtual void visit_patches(FunctionRef<void(u64 id, const patch::PatchView&)> visit) = 0;
    // Funcs and holds, always in the same order. False when there is no such patch.
    virtual bool visit_functions(u64 patch, FunctionRef<void(const patch::FunctionView&)> visit) = 0;
    // In the order of the patch. False when there is no such patch.
    virtual bool visit_states(u64 patch, FunctionRef<void(const patch::StateView&)> visit) = 0;
    // The callback and the tasks that hold the patch's change. False when there is no such patch.
    virtual bool write_blocking(u64 patch, GrowingText& out) = 0;

    using LingeringVisit = void(u64 id, std::string_view name, std::span<const patch::Reference> places);
    virtual void visit_lingering(FunctionRef<LingeringVisit> visit) = 0;

    // The answer of a request that said later(), any number of times; nothing while it isn't decided. Whoever serves
    // the tree is woken when it is.
    virtual std::optional<ControlResult<void>> outcome(u64 ticket) = 0;
    virtual ControlResult<void> load(std::span<const std::byte> file, const LoadRequest& request) = 0;
    // A deadline of 0: none.
    virtual ControlResult<void> unregister(u64 patch, u64 deadline_ns) = 0;
    virtual ControlResult<void> rollback(u64 patch, u64 deadline_ns) = 0;
    virtual ControlResult<void> promote(u64 patch, u64 deadline_ns) = 0;
    virtual ControlResult<void> reverse(u64 patch) = 0;
    virtual ControlResult<void> commit(u64 patch) = 0;
    virtual ControlResult<void> force(u64 patch) = 0;
    // Has it looked again for what points into lingering patches; the answer doesn't wait for it.
    virtual void search_lingering() = 0;
    // Makes a task that holds the patch's transition return from an interruptible wait.
    virtual ControlResult<void> nudge(u64 patch, u64 task) = 0;
    // Says what load() would do. A patch that would be refused is an answer, not an error.
    virtual void plan(std::span<const std::byte> file, patch::Source source, GrowingText& answer) = 0;

    // A line for the log.
    virtual void note(std::string_view text) = 0;

protected:
    ~System() = default;
};

}  // namespace graft::control
