// A coroutine's body changes, and two functions that it calls; another one's doesn't.
#include <coroutine>

namespace coroutines {

struct Task {
    struct promise_type {
        Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
        static void* operator new(std::size_t);
        static void operator delete(void*) noexcept;
    };
    std::coroutine_handle<promise_type> handle;
};

alignas(16) char frames[4096];
void* Task::promise_type::operator new(std::size_t) {
    return frames;
}
void Task::promise_type::operator delete(void*) noexcept {}

volatile int sink;

#ifdef AFTER
#define IF_AFTER(after, before) after
#else
#define IF_AFTER(after, before) before
#endif

[[gnu::noinline]] void begin_round() {
    sink = IF_AFTER(11, 1);
}
[[gnu::noinline]] void end_round() {
    sink = IF_AFTER(12, 2);
}

Task changes(int count) {
    for (int i = 0; i < count; ++i) {
        begin_round();
        sink = IF_AFTER(i + 1, i);
        end_round();
        co_await std::suspend_always{};
    }
}
Task stays(int count) {
    co_await std::suspend_always{};
    sink = count;
}

}  // namespace coroutines
