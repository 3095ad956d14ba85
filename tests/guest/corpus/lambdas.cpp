// Lambdas: numbered by the compiler, with statics of their own, and taken as function pointers.
#include "tests/guest/corpus/probes.h"

namespace corpus {
namespace {

using Step = long (*)(long);

[[gnu::noinline]] long apply(Step step, long value) {
    return step(value);
}

[[gnu::noinline]] long walk(long value) {
    long first = apply([](long x) { return x + 1; }, value);
    long second = apply(
        [](long x) {
            static long calls = 0;
            ++calls;
            return x * 2 + (calls > 0 ? 0 : 1);
        },
        first);
    return apply([](long x) { return x - 3; }, second);
}

// Counts in a static of its own.
[[gnu::noinline]] long counting() {
    auto next = []() {
        static long count = 500;
        return ++count;
    };
    return next();
}

auto global_step = [](long x) { return x ^ 6; };

}  // namespace
}  // namespace corpus

long probe_lambda_walk() {
    return corpus::walk(10);
}

// 1 while it counts on; -1 when it began anew.
long probe_lambda_static() {
    static long seen = 0;
    long now = corpus::counting();
    long step = now > seen && seen != 0 ? now - seen : seen == 0 ? 1 : -1;
    seen = now;
    return step;
}

long probe_lambda_global() {
    return corpus::apply(corpus::global_step, 9);
}
