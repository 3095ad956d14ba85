// A coroutine whose frame outlives its caller.
#include <coroutine>
#include <cstddef>

#include "tests/guest/corpus/probes.h"

namespace corpus {
namespace {

struct Stream {
    struct promise_type {
        long current = 0;
        Stream get_return_object() { return Stream{std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(long value) {
            current = value;
            return {};
        }
        void return_void() {}
        void unhandled_exception() {}
    };
    std::coroutine_handle<promise_type> handle;
};

[[gnu::noinline]] Stream numbers(long first) {
    for (long i = 0; i < 1'000'000'000; ++i) co_yield first + i % 2;
}

[[gnu::noinline]] long next_of(Stream& stream) {
    stream.handle.resume();
    return stream.handle.promise().current;
}

Stream* stream;

}  // namespace
}  // namespace corpus

// Two values of a stream of its own.
long probe_new_coroutine() {
    corpus::Stream own = corpus::numbers(60);
    long one = corpus::next_of(own);
    long other = corpus::next_of(own);
    own.handle.destroy();
    return one * 100 + other;
}

// Two values of the one stream, in the order of their size.
long probe_coroutine() {
    if (corpus::stream == nullptr) corpus::stream = new corpus::Stream(corpus::numbers(60));
    long one = corpus::next_of(*corpus::stream);
    long other = corpus::next_of(*corpus::stream);
    return one < other ? one * 100 + other : other * 100 + one;
}
