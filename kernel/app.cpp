#include "kernel/app.h"

#include "base/assert.h"
#include "kernel/patch_service.h"
#include "kernel/power.h"
#include "kernel/task.h"

namespace graft::kernel {

namespace {

constexpr usize kMainStackSize = 64 * 1024;

void main_task(void* argument) {
    auto& arguments = *static_cast<const CommandLine*>(argument);
    if (arguments.value("patches") != "manual") load_boot_patches();
    app_main(arguments);
    if (arguments.flag("poweroff")) power_off();
}

}  // namespace

void start_application(const CommandLine& arguments) {
    TaskOptions options;
    options.name = "main";
    options.stack_size = kMainStackSize;
    auto handle = create_task(main_task, const_cast<CommandLine*>(&arguments), options);
    GRAFT_ASSERT(handle);
}

}  // namespace graft::kernel
