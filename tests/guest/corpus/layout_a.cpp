#include "tests/guest/corpus/layout.h"
#include "tests/guest/corpus/probes.h"

namespace corpus {
namespace {

Entry entries[kEntries] = {
    {{.number = 1, .kind = 2, .balance = 100, .limit = 50, .rate = 5, .flags = 0}, {1, 2, 3, 4}},
    {{.number = 2, .kind = 2, .balance = 200, .limit = 60, .rate = 6, .flags = 0}, {5, 6, 7, 8}},
    {{.number = 3, .kind = 3, .balance = 300, .limit = 70, .rate = 7, .flags = 1}, {9, 9, 9, 9}}};

Cell cell = {77};
Derived derived;

}  // namespace

Entry& entry(graft::usize index) {
    return entries[index];
}

namespace {

[[gnu::noinline]] long balance_of(const Entry& entry) {
    return entry.account.balance;
}

[[gnu::noinline]] long rate_of(const Entry& entry) {
    return entry.account.rate + entry.account.limit;
}

[[gnu::noinline]] long history_of(const Entry& entry) {
    long sum = 0;
    for (long value : entry.history) sum += value;
    return sum;
}

// A type of this function alone.
[[gnu::noinline]] long pair_up(long value) {
    struct Pair {
        long left;
        long right;
    };
    Pair pair{value, value + 1};
    asm volatile("" : "+m"(pair));
    return pair.left * 10 + pair.right;
}

[[gnu::noinline]] long cell_value() {
    return cell.whole + derived.common + derived.own;
}

}  // namespace
}  // namespace corpus

long probe_layout_a() {
    return corpus::balance_of(corpus::entry(1)) * 1000 + corpus::rate_of(corpus::entry(1));
}

long probe_local_type() {
    return corpus::pair_up(6);
}

long probe_cell() {
    return corpus::cell_value() * 100 + corpus::history_of(corpus::entry(0));
}
