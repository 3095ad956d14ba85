// Driver: has the bench patch come and go, and says how long each transition took.
//
// One driver, used by one task. Times are nanoseconds of arch::now_ns().
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "arch/x86_64/clock.h"
#include "kernel/task.h"
#include "kernel/timers.h"
#include "patch/registry.h"
#include "tests/guest/bench/changing.h"
#include "tests/guest/shared/eventually.h"

namespace graft::bench {

using tests::eventually;
using tests::kHangNs;
using tests::kMillisecond;

enum class Way : u8 { load, unload };

struct Passage {
    u64 total_ns = 0;   // from the request to the end of the transition
    u64 moving_ns = 0;  // of these, since all call sites were live
    u64 ended_ns = 0;   // when
    patch::MoveCounts moves{};
};

class Driver {
public:
    explicit Driver(std::span<const std::byte> file);

    // Begins a transition; false when it is refused.
    [[nodiscard]] bool begin(Way way);
    // Waits for its end; nothing when there is none, or another one than asked for.
    [[nodiscard]] std::optional<Passage> end();
    // Waits until the unloaded patch's memory is free; nothing when it stays. Since the unload was asked for.
    [[nodiscard]] std::optional<u64> freed_ns();

    // Only one task is left to move.
    [[nodiscard]] bool is_held();

private:
    std::optional<patch::HistoryRecord> wait_for(patch::HistoryEvent event);

    patch::Registry& registry_;
    std::span<const std::byte> file_;
    Way way_ = Way::load;
    u64 asked_ns_ = 0;
    u64 next_record_ = 1;
    std::array<patch::HistoryRecord, 1> record_{};  // too large for a stack
};

// A task that waits inside gate() until it is let go.
class Holder {
public:
    Holder() = default;
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    ~Holder();

    // False when the task can't be made or doesn't get there.
    [[nodiscard]] bool enter();
    // Of a call of target(), made by the task from where it is.
    u64 call_hundredths(u64 rounds);
    // Lets it go on; join() waits for its end.
    void let_go();
    void join();

    u64 id() const { return task_.id(); }
    u8 patch_state() const { return task_.task().context.patch_state; }
    u64 left_ns() const { return stay_.left_ns; }

private:
    bool is_blocked() const;

    Stay stay_;
    kernel::TaskHandle task_;
    bool inside_ = false;  // made and not joined
};

// "figure NAME=VALUE", for the bench script.
void print_figure(std::string_view name, u64 value);

u8 own_patch_state();

}  // namespace graft::bench
