// Functions that only make sense together, and those that call them.
#include "tests/guest/corpus/probes.h"

namespace corpus {
namespace {

[[gnu::noinline]] long encode(long value) {
    return value * 3;
}

[[gnu::noinline]] long decode(long value) {
    return value / 3;
}

[[gnu::noinline]] long there_and_back(long value) {
    return decode(encode(value));
}

[[gnu::noinline]] long encoded(long value) {
    return encode(value);
}

// Grows until it is inlined no more, or shrinks until it is.
inline long middling(long value) {
    return value + 7;
}

[[gnu::noinline]] long uses_middling(long value) {
    return middling(value) * 2;
}

[[gnu::noinline]] long uses_middling_too(long value) {
    return middling(value) * 3;
}

// Without effects, and the compiler knows; a caller may keep what it returned.
[[gnu::noinline]] long pure_sum(long left, long right) {
    return left + right;
}

[[gnu::noinline]] long sums(long value) {
    return pure_sum(value, 1) + pure_sum(value, 1);
}

long effects;

}  // namespace
}  // namespace corpus

long probe_pair() {
    return corpus::there_and_back(21) * 1000 + corpus::encoded(5);
}

long probe_middling() {
    return corpus::uses_middling(1) * 100 + corpus::uses_middling_too(1);
}

long probe_pure() {
    return corpus::sums(3) * 10 + (corpus::effects > 0);
}
