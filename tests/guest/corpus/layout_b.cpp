#include "tests/guest/corpus/layout.h"
#include "tests/guest/corpus/probes.h"

namespace corpus {
namespace {

[[gnu::noinline]] long sum_of_balances() {
    long sum = 0;
    for (graft::usize i = 0; i < kEntries; ++i) sum += entry(i).account.balance / 2;
    return sum;
}

}  // namespace
}  // namespace corpus

long probe_layout_b() {
    return corpus::sum_of_balances();
}
