// Constants that live outside of code: of floating-point numbers, of tables, of vectors.
#include "tests/guest/corpus/probes.h"

namespace corpus {
namespace {

[[gnu::noinline]] double scaled(double value) {
    return value * 1.5;
}

[[gnu::noinline]] double shifted(double value) {
    return value + 0.25;
}

const long primes[] = {2, 3, 5, 7, 11, 13};
long weights[] = {1, 2, 3};
long zeros[3];
constexpr long kLimit = 12;

[[gnu::noinline]] long nth_prime(unsigned index) {
    return index < 6 ? primes[index] : 0;
}

[[gnu::noinline]] long weighed(unsigned index) {
    return weights[index] * 10 + zeros[index];
}

[[gnu::noinline]] long limited(long value) {
    return value > kLimit ? kLimit : value;
}

[[gnu::noinline]] long masked(long value) {
    return value & 0x3f;
}

}  // namespace
}  // namespace corpus

long probe_double() {
    return static_cast<long>(corpus::scaled(8.0) * 100 + corpus::shifted(1.0) * 4);
}

long probe_primes() {
    return corpus::nth_prime(4);
}

long probe_weights() {
    return corpus::weighed(2);
}

long probe_limit() {
    return corpus::limited(99);
}

long probe_mask() {
    return corpus::masked(0x7e);
}
