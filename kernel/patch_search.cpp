#include "kernel/patch_search.h"

#include <atomic>

#include "base/assert.h"
#include "kernel/task.h"

namespace graft::kernel {

namespace {

constinit SearchFunction search = nullptr;  // constant after start_patch_search()
constinit void* search_argument = nullptr;
constinit Task* search_task = nullptr;      // constant after start_patch_search(); never ends
constinit std::atomic<bool> is_due{false};  // release in wake_patch_search() pairs with acquire in search_round()

void search_round(void*) {
    if (is_due.exchange(false, std::memory_order_acquire)) {
        search(search_argument);
    } else {
        park();
    }
}

}  // namespace

void start_patch_search(SearchFunction function, void* argument) {
    search = function;
    search_argument = argument;
    TaskOptions options;
    options.repeats = true;
    options.name = "patch-search";
    options.is_own = true;
    options.stack_size = 32 * 1024;
    options.is_needed = true;
    options.uses_sse = false;  // what it reads stays in no register that it would find itself
    auto handle = create_task(search_round, nullptr, options);
    GRAFT_ASSERT(handle);
    search_task = &handle->task();
}

bool wake_patch_search() {
    if (!search_task) return false;
    is_due.store(true, std::memory_order_release);
    unpark(*search_task);
    return true;
}

}  // namespace graft::kernel
