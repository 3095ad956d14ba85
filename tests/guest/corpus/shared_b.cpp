#include "tests/guest/corpus/probes.h"
#include "tests/guest/corpus/shared.h"

namespace corpus {
namespace {

// The same names are in shared_a.cpp.
long state = 22;

[[gnu::noinline]] long step(long value) {
    state += 0;
    return value + state;
}

struct Meter {
    long scale = 4;
    [[gnu::noinline]] long read(long value) const { return value * scale; }
};

constinit Meter meter;

[[gnu::noinline]] long clamped_b(long value) {
    return clamp(value) + 2000;
}

[[gnu::noinline]] long factor_b(long value) {
    return value + CORPUS_FACTOR;
}

[[gnu::noinline]] long squared_b() {
    return squared(3) + kOffset;
}

}  // namespace
}  // namespace corpus

long probe_same_b() {
    return corpus::step(1) * 100 + corpus::meter.read(2);
}

long probe_clamp_b() {
    return corpus::clamped_b(70);
}

long probe_measure_b() {
    return corpus::measure(6);
}

long probe_shared_count_b() {
    long before = corpus::shared_count;
    long after = corpus::next_shared();
    return after == corpus::shared_count && after > before ? after - before : -1;
}

long probe_template_b() {
    long before = corpus::Counter<long>::total;
    long answer = corpus::Counter<long>::add(2);
    return corpus::climb<4>(20) * 100 + answer * 10 + (corpus::Counter<long>::total - before);
}

long probe_factor_b() {
    return corpus::factor_b(7);
}

long probe_constexpr_b() {
    return corpus::squared_b();
}
