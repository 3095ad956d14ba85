#include "tests/guest/bench/driver.h"

#include "base/text.h"
#include "kernel/console.h"
#include "kernel/patch_service.h"
#include "kernel/patch_worker.h"
#include "kernel/task_view.h"
#include "tests/guest/bench/calls.h"

namespace graft::bench {

namespace {

using patch::HistoryEvent;
using patch::HistoryRecord;

constexpr std::string_view kPatch = "bench";

class CountLingering final : public patch::LingeringVisitor {
public:
    void lingering(std::string_view, std::span<const patch::Reference>, u64) override { ++count; }
    u64 count = 0;
};

void report_refusal(const patch::Refusal& refusal) {
    Text<320> line;
    line.append("# refused: ");
    patch::render(refusal, line);
    line.append("\n");
    kernel::console_write(line.view());
}

void stay_in_gate(void* argument) {
    gate(*static_cast<Stay*>(argument));
}

}  // namespace

Driver::Driver(std::span<const std::byte> file) : registry_(kernel::patch_registry()), file_(file) {}

bool Driver::begin(Way way) {
    way_ = way;
    asked_ns_ = arch::now_ns();
    auto started = way == Way::load ? registry_.load(file_, {}, {}) : registry_.unregister(kPatch);
    if (!started) report_refusal(started.error());
    return started.has_value();
}

std::optional<HistoryRecord> Driver::wait_for(HistoryEvent event) {
    u64 deadline = arch::now_ns() + kHangNs;
    for (;;) {
        u64 generation = kernel::history_generation();
        u64 last = 0;
        while (registry_.read_history(next_record_, record_, last) != 0) {
            next_record_ = record_[0].number + 1;
            if (record_[0].event == event) return record_[0];
        }
        if (!kernel::wait_for_history(generation, deadline)) return {};
    }
}

std::optional<Passage> Driver::end() {
    auto record = wait_for(way_ == Way::load ? HistoryEvent::loaded : HistoryEvent::unloaded);
    if (!record) return {};
    return Passage{record->time_ns - asked_ns_, record->duration_ns, record->time_ns, record->moves};
}

std::optional<u64> Driver::freed_ns() {
    // A stale word on some stack may hold the patch's memory for a while.
    bool free = eventually([&] {
        CountLingering lingering;
        registry_.retry_lingering();
        registry_.visit_lingering(lingering);
        return lingering.count == 0;
    });
    if (!free) return {};
    auto record = wait_for(HistoryEvent::freed);
    if (!record) return {};
    return record->time_ns - asked_ns_;
}

bool Driver::is_held() {
    auto transition = registry_.transition();
    return transition && transition->tasks_to_move == 1;
}

Holder::~Holder() {
    if (!inside_) return;
    let_go();
    join();
}

bool Holder::enter() {
    auto task = kernel::create_task(stay_in_gate, &stay_, {.name = "holder"});
    if (!task) return false;
    task_ = std::move(*task);
    inside_ = true;
    stay_.waiting.wait();
    return eventually([&] { return is_blocked(); });
}

bool Holder::is_blocked() const {
    auto view = kernel::view_task(id());
    return view && view->state == kernel::TaskState::blocked;
}

u64 Holder::call_hundredths(u64 rounds) {
    stay_.leave.store(false, std::memory_order_relaxed);
    stay_.rounds = rounds;
    stay_.ordered.post();
    stay_.waiting.wait();
    return stay_.hundredths;
}

void Holder::let_go() {
    stay_.leave.store(true, std::memory_order_relaxed);
    stay_.ordered.post();
}

void Holder::join() {
    task_.join();
    inside_ = false;
}

void linger(Stay& stay) {
    for (;;) {
        stay.waiting.post();
        stay.ordered.wait();
        if (stay.leave.load(std::memory_order_relaxed)) return;
        stay.hundredths = target_call_hundredths(stay.rounds);
    }
}

void print_figure(std::string_view name, u64 value) {
    Text<120> line;
    line.append("figure ", name, "=", value, "\n");
    kernel::console_write(line.view());
}

u8 own_patch_state() {
    return kernel::current_task().context.patch_state;
}

}  // namespace graft::bench
