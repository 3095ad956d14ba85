#include "kernel/app.h"

#include "base/assert.h"
#include "kernel/boot_patches.h"
#include "kernel/init_text.h"
#include "kernel/log.h"
#include "kernel/power.h"
#include "kernel/task.h"

namespace graft::kernel {

namespace {

constexpr usize kMainStackSize = 64 * 1024;

constinit const CommandLine* command_line = nullptr;  // constant after start_application()

void main_task(void*) {
    release_init_text();
    app_main(*command_line);
    if (command_line->flag("poweroff")) power_off();
}

void create_main_task() {
    TaskOptions options;
    options.name = "main";
    options.stack_size = kMainStackSize;
    auto handle = create_task(main_task, nullptr, options);
    GRAFT_ASSERT(handle);
}

BootPatchPolicy boot_patch_policy() {
    auto value = command_line->value("patches");
    if (!value) return BootPatchPolicy::apply;
    if (*value == "manual") return BootPatchPolicy::manual;
    if (*value == "required") return BootPatchPolicy::required;
    log_parts(LogLevel::warning, "command line: patches=", *value, " is none of manual, required");
    return BootPatchPolicy::apply;
}

}  // namespace

void start_application(const CommandLine& arguments) {
    command_line = &arguments;
    apply_boot_patches(boot_patch_policy(), create_main_task);
}

}  // namespace graft::kernel
