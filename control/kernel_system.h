// KernelSystem: the running system as the control tree shows it. Context: task.
#pragma once

#include "control/patch_system.h"

namespace graft::control {

class KernelSystem final : public PatchSystem {
public:
    using PatchSystem::PatchSystem;

    void write_version(GrowingText& out) override;
    void write_tainted(GrowingText& out) override;
    void write_symbols(GrowingText& out) override;
    void write_metrics(GrowingText& out) override;
    bool next_log_line(u64& cursor, TextBuffer& line) override;

    void visit_tasks(FunctionRef<void(const TaskView&)> visit) override;
    bool visit_task(u64 id, FunctionRef<void(const TaskView&)> visit) override;
    bool write_stack(u64 task, GrowingText& out) override;
    bool write_moves(u64 task, GrowingText& out) override;
    bool write_blocking(u64 patch, GrowingText& out) override;
    ControlResult<void> nudge(u64 patch, u64 task) override;

    void note(std::string_view text) override;

private:
    void write_callback(u64 patch, GrowingText& out);
    void write_patch_metrics(GrowingText& out);
    // What a task's patch state is to be shown as.
    int shown_patch_state(u8 universe);
};

}  // namespace graft::control
