#include "tests/guest/contain/world.h"

#include "kernel/boot_patches.h"

namespace graft::contain_test {

namespace {

constinit u64 loads = 0;
constinit std::array<Order, kFaultCount> orders{};

void do_one_job(void* argument) {
    do_job(*static_cast<Order*>(argument));
}

}  // namespace

std::span<const std::byte> patch_file() {
    return kernel::boot_patch(0);
}

Loading::Loading(u64 probation_ns, const patch::CanaryPolicy& canary) {
    auto& registry = kernel::patch_registry();
    u64 last = 0;
    (void)registry.read_history(1, {}, last);
    next_record_ = last + 1;
    name_.append("faulty-", ++loads);
    patch::LoadOptions options;
    options.source = patch::Source::boot;
    options.probation_ns = probation_ns;
    options.canary = canary;
    accepted_ = registry.load(patch_file(), name(), options).has_value();
}

std::optional<patch::HistoryRecord> Loading::await(patch::HistoryEvent event) {
    std::optional<patch::HistoryRecord> found;
    (void)tests::eventually([&] {
        patch::HistoryRecord record;
        u64 last = 0;
        while (!found && kernel::patch_registry().read_history(next_record_, std::span(&record, 1), last) != 0) {
            next_record_ = record.number + 1;
            if (record.event == event && record.patch.view() == name()) found = record;
        }
        return found.has_value();
    });
    return found;
}

bool Loading::has(patch::HistoryEvent event) const {
    patch::HistoryRecord record;
    u64 last = 0;
    for (u64 next = 1; kernel::patch_registry().read_history(next, std::span(&record, 1), last) != 0;) {
        if (record.event == event && record.patch.view() == name()) return true;
        next = record.number + 1;
    }
    return false;
}

Worker::Worker(Fault fault) {
    Order& order = orders[static_cast<usize>(fault)];
    order.fault = fault;
    auto made = kernel::create_task(do_one_job, &order, {.name = kFaultNames[static_cast<usize>(fault)]});
    if (made) handle_ = std::move(*made);
}

}  // namespace graft::contain_test
