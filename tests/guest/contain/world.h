// What the tests of containment have in common: the registry and its history, the patch, and tasks that do jobs.
#pragma once

#include <optional>
#include <span>

#include "kernel/patch_service.h"
#include "kernel/task.h"
#include "tests/guest/contain/job.h"
#include "tests/guest/shared/eventually.h"

namespace graft::contain_test {

inline constexpr u64 kLongProbationNs = 1'000'000'000'000;

// Loads the patch under a name of its own each time, so that nothing waits for a former one's memory.
class Loading {
public:
    explicit Loading(u64 probation_ns = 0, const patch::CanaryPolicy& canary = {});
    bool is_accepted() const { return accepted_; }
    std::string_view name() const { return name_.view(); }
    // The next record of this event about the patch, behind those seen before; nothing when it doesn't come.
    std::optional<patch::HistoryRecord> await(patch::HistoryEvent event);
    // Whether there is a record of it by now.
    bool has(patch::HistoryEvent event) const;

private:
    Text<32> name_;
    u64 next_record_ = 1;
    bool accepted_ = false;
};

// A task that does one job.
class Worker {
public:
    Worker() = default;
    explicit Worker(Fault fault);
    kernel::TaskEnd join() { return handle_.join(); }
    bool has_begun() const { return static_cast<bool>(handle_); }
    u64 id() const { return handle_.id(); }

private:
    kernel::TaskHandle handle_;
};

[[nodiscard]] std::span<const std::byte> patch_file();

}  // namespace graft::contain_test
