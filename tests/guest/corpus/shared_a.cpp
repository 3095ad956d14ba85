#include "tests/guest/corpus/probes.h"
#include "tests/guest/corpus/shared.h"

namespace corpus {
namespace {

// The same names are in shared_b.cpp.
long state = 11;

[[gnu::noinline]] long step(long value) {
    state += 0;
    return value + state;
}

struct Meter {
    long scale = 3;
    [[gnu::noinline]] long read(long value) const { return value * scale; }
};

constinit Meter meter;

[[gnu::noinline]] long clamped_a(long value) {
    return clamp(value) + 1000;
}

[[gnu::noinline]] long mixed_a(long value) {
    return mixed(value) + 1;
}

[[gnu::noinline]] long factor_a(long value) {
    return value * CORPUS_FACTOR;
}

[[gnu::noinline]] long grade_a(Grade grade) {
    return grade == Grade::high ? 1 : 0;
}

[[gnu::noinline]] long squared_a() {
    return squared(7) + kOffset;
}

[[gnu::noinline]] long picked_a(int value) {
    return pick(value);
}

}  // namespace
}  // namespace corpus

long probe_same_a() {
    return corpus::step(1) * 100 + corpus::meter.read(2);
}

long probe_clamp_a() {
    return corpus::clamped_a(70);
}

long probe_measure_a() {
    return corpus::measure(5);
}

long probe_mixed_a() {
    return corpus::mixed_a(0x302);
}

// How far the shared count went on by one call, or -1 when it isn't one count.
long probe_shared_count() {
    long before = corpus::shared_count;
    long after = corpus::next_shared();
    return after == corpus::shared_count && after > before ? after - before : -1;
}

long probe_template_a() {
    return corpus::climb<4>(10) * 10 + corpus::Counter<long>::add(4);
}

long probe_factor_a() {
    return corpus::factor_a(7) * 10 + corpus::grade_a(corpus::Grade::high);
}

long probe_constexpr_a() {
    return corpus::squared_a();
}

long probe_pick_a() {
    return corpus::picked_a(4);
}
