#include "tests/guest/rules/work.h"

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

}  // namespace graft::rules_test
