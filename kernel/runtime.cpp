// What compiled C++ calls by itself: guards of statics in functions, pure virtual calls, registered destructors, and
// the library's complaints.
#include <atomic>

#include "base/types.h"
#include "kernel/panic.h"
#include "kernel/task.h"

namespace {

// The guard's first byte is the compiler's: 1 when the static is initialised [itanium-abi §3.3.3]. The second is ours.
struct Guard {
    std::atomic<graft::u8> initialised;
    std::atomic<graft::u8> busy;
};

}  // namespace

extern "C" {

void* __dso_handle = nullptr;

// Static objects of the image live as long as the machine: nothing is ever torn down.
int __cxa_atexit(void (*)(void*), void*, void*) {
    return 0;
}

void __cxa_pure_virtual() {
    graft::kernel::panic("pure virtual function called");
}
void __cxa_deleted_virtual() {
    graft::kernel::panic("deleted virtual function called");
}

// Returns 1 when the caller is to initialise. Whoever finds it busy waits: by yielding, since another task is at it.
int __cxa_guard_acquire(graft::u64* word) {
    auto* guard = reinterpret_cast<Guard*>(word);
    for (;;) {
        if (guard->initialised.load(std::memory_order_acquire) != 0) return 0;  // pairs with __cxa_guard_release()
        if (guard->busy.exchange(1, std::memory_order_acquire) == 0) break;     // pairs with the releases below
        graft::kernel::yield();
    }
    if (guard->initialised.load(std::memory_order_acquire) == 0) return 1;
    guard->busy.store(0, std::memory_order_release);
    return 0;
}

void __cxa_guard_release(graft::u64* word) {
    auto* guard = reinterpret_cast<Guard*>(word);
    guard->initialised.store(1, std::memory_order_release);
    guard->busy.store(0, std::memory_order_release);
}

void __cxa_guard_abort(graft::u64* word) {
    reinterpret_cast<Guard*>(word)->busy.store(0, std::memory_order_release);
}

void abort() {
    graft::kernel::panic("abort");
}

}  // extern "C"

namespace std {

void __throw_bad_alloc() {
    graft::kernel::panic("std::bad_alloc");
}
void __throw_bad_array_new_length() {
    graft::kernel::panic("std::bad_array_new_length");
}
void __throw_bad_function_call() {
    graft::kernel::panic("std::bad_function_call");
}
void __throw_length_error(const char* what) {
    graft::kernel::panic(what);
}
void __throw_logic_error(const char* what) {
    graft::kernel::panic(what);
}
void __throw_out_of_range(const char* what) {
    graft::kernel::panic(what);
}
void __throw_out_of_range_fmt(const char* what, ...) {
    graft::kernel::panic(what);
}
void __glibcxx_assert_fail(const char*, int, const char*, const char* condition) noexcept {
    graft::kernel::panic(condition ? condition : "library assertion");
}

}  // namespace std
