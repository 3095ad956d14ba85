#include "tests/guest/rules/work.h"

#include "kernel/task.h"

namespace graft::rules_test {

namespace {

volatile u64 sink;

}  // namespace

u64 spin(u64 rounds) {
    for (u64 i = 0; i < rounds; ++i) sink = i;
    return rounds;
}

u64 work() {
    return spin(kRounds);
}

bool is_other_task() {
    return kernel::current_task().name_view().starts_with("other");
}

}  // namespace graft::rules_test
