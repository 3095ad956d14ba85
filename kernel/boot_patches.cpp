#include "kernel/boot_patches.h"

#include <array>
#include <atomic>

#include "arch/x86_64/clock.h"
#include "kernel/log.h"
#include "kernel/panic.h"
#include "kernel/patch_service.h"
#include "kernel/patch_worker.h"
#include "kernel/timers.h"

namespace graft::kernel {

namespace {

using Start = void (*)();

struct BootPatch {
    std::string_view name;
    std::span<const std::byte> file;
};

constinit std::array<BootPatch, kMaxBootPatches> patches{};
constinit usize patch_count = 0;  // constant after boot, like the next three
constinit bool is_required = false;
constinit Start application = nullptr;
constinit u64 deadline_ns = 0;
// Release in apply_boot_patches() pairs with acquire in the worker, whose everything below is.
constinit std::atomic<bool> is_due{false};
constinit usize next_patch = 0;
constinit u64 ticket = 0;  // of the last one, while its callbacks decide
constinit bool has_application_started = false;

std::string_view shown(std::string_view name) {
    return name.empty() ? std::string_view("(unnamed)") : name;
}

template <typename... Parts>
void report(const Parts&... parts) {
    Text<640> text;
    text.append(parts...);
    if (is_required) panic(text.view());
    log(LogLevel::error, text.view());
}

void report_refusal(const BootPatch& patch, const patch::Refusal& refusal) {
    Text<400> reason;
    patch::render(refusal, reason);
    report("boot patch ", shown(patch.name), " refused: ", reason.view());
}

void load_one(const BootPatch& patch) {
    patch::LoadOptions options;
    options.source = patch::Source::boot;
    options.label = patch.name;
    auto started = patch_registry().load(patch.file, {}, options, &ticket);
    if (!started) report_refusal(patch, started.error());
}

// What the callbacks of the last one said.
void judge_last() {
    if (ticket == 0) return;
    auto outcome = patch_registry().outcome(ticket);
    if (!outcome) return;
    ticket = 0;
    if (!*outcome) report_refusal(patches[next_patch - 1], outcome->error());
}

void start_application_once() {
    if (has_application_started) return;
    has_application_started = true;
    application();
}

// A callback in the timer task.
void wake_worker(void*) {
    wake_patch_worker();
}

}  // namespace

bool add_boot_patch(std::string_view name, std::span<const std::byte> file) {
    if (patch_count == patches.size()) return false;
    patches[patch_count++] = {name, file};
    return true;
}

std::span<const std::byte> boot_patch(usize index) {
    return index < patch_count ? patches[index].file : std::span<const std::byte>();
}

void apply_boot_patches(BootPatchPolicy policy, void (*then)()) {
    if (patch_count == 0 || policy == BootPatchPolicy::manual) {
        then();
        return;
    }
    is_required = policy == BootPatchPolicy::required;
    application = then;
    deadline_ns = arch::now_ns() + kBootPatchTimeNs;
    static Timer alarm(wake_worker, nullptr);
    alarm.set(deadline_ns);
    is_due.store(true, std::memory_order_release);
    wake_patch_worker();
}

void continue_boot_patches() {
    if (!is_due.load(std::memory_order_acquire)) return;
    judge_last();
    while (next_patch < patch_count && patch_registry().is_idle()) {
        load_one(patches[next_patch++]);
        judge_last();
    }
    if (has_application_started) return;
    if (!patch_registry().is_idle()) {
        if (arch::now_ns() < deadline_ns) return;
        report("boot patch ", shown(patches[next_patch - 1].name), " is not in force everywhere after ",
               kBootPatchTimeNs / 1'000'000'000, " s");
    }
    start_application_once();
}

}  // namespace graft::kernel
