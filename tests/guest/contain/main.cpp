// Faults in a patch's code. Without arguments: everything that is contained, as KTAP. With them, one fault that isn't:
//
//   fault=NAME                of kFaultNames; `serve`: what is contained, for a patch that comes over the control link
//   when=transition|probation|committed|replaced
//   where=task|work|handler   in a task, in one that the kernel needs, in the handler of an exception
//
// The patch is the first boot module, and `patches=manual` keeps the kernel from loading it.
#include <array>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupts.h"
#include "kernel/app.h"
#include "kernel/interrupts.h"
#include "kernel/log.h"
#include "kernel/patch_worker.h"
#include "kernel/power.h"
#include "kernel/shadow.h"
#include "kernel/task_list.h"
#include "kernel/task_view.h"
#include "kernel/work.h"
#include "tests/guest/contain/world.h"
#include "tests/guest/shared/footprint.h"
#include "tests/guest/shared/idle_tasks.h"
#include "tests/guest/shared/ktap.h"

namespace graft::contain_test {

namespace {

using kernel::TaskEnd;
using patch::HistoryEvent;
using tests::eventually;

// ---- what is contained ----------------------------------------------------------------------------------------------

std::string_view kind_of(Fault fault) {
    switch (fault) {
        case Fault::read:
        case Fault::helper:
        case Fault::late:
            return "page fault, read of 0x0";
        case Fault::write:
            return "page fault, write to 0x0";
        case Fault::memcpy:
            return "page fault, write to 0x";
        case Fault::jump:
            return "page fault, jump to 0x0";
        default:
            return "";
    }
}

const char* check_record(Loading& loading, const Worker& worker, Fault fault, std::string_view then) {
    auto record = loading.await(HistoryEvent::fault);
    KTAP_CHECK(record);
    KTAP_CHECK(record->task == worker.id());
    KTAP_CHECK(record->other.view() == kFaultNames[static_cast<usize>(fault)]);
    KTAP_CHECK(record->then == then);
    KTAP_CHECK(record->place != 0);
    std::string_view function = record->function.view();
    if (fault == Fault::memcpy) {
        KTAP_CHECK(function.starts_with("memcpy+"));
    } else {
        KTAP_CHECK(function.ends_with("]") && function.find(loading.name()) != function.npos);
    }
    KTAP_CHECK(record->kind.view().starts_with(kind_of(fault)));
    return nullptr;
}

bool stay_now(u64 count) {
    return eventually([count] { return staying.load(std::memory_order_relaxed) == count; });
}

// Somebody is inside the old function, so that the transition goes on until the fault.
const char* contained_in_transition(Fault fault) {
    Worker holder(Fault::stay);
    KTAP_CHECK(holder.has_begun());
    KTAP_CHECK(stay_now(1));
    Loading loading;
    KTAP_CHECK(loading.is_accepted());
    KTAP_CHECK(loading.await(HistoryEvent::load_started));
    Worker worker(fault);
    KTAP_CHECK(worker.has_begun());
    KTAP_CHECK(worker.join() == TaskEnd::faulted);
    if (const char* wrong = check_record(loading, worker, fault, "reversed")) return wrong;
    KTAP_CHECK(loading.await(HistoryEvent::withdrawn));
    KTAP_CHECK(loading.await(HistoryEvent::unloaded));
    may_go.post();
    KTAP_CHECK(holder.join() == TaskEnd::returned);
    Order order;
    KTAP_CHECK(!do_job(order));
    return nullptr;
}

// In the patch's versions of functions, while they are measured.
u64 measured_faults(std::string_view patch) {
    class Sum final : public patch::FunctionVisitor {
    public:
        void function(const patch::FunctionView& view) override { faults += view.measured.after.faults; }
        u64 faults = 0;
    } sum;
    (void)kernel::patch_registry().visit_functions(patch, sum);
    return sum.faults;
}

// New tasks have the patch; nobody else has.
const char* contained_in_a_canary(Fault fault) {
    Loading loading(0, {.kind = patch::CanaryPolicy::Kind::births, .pattern = {}});
    KTAP_CHECK(loading.is_accepted());
    KTAP_CHECK(loading.await(HistoryEvent::load_started));
    Order order;
    KTAP_CHECK(!do_job(order));
    // Somebody inside holds the way back, and so the measuring goes on.
    Worker holder(Fault::stay);
    KTAP_CHECK(stay_now(1));
    Worker worker(fault);
    KTAP_CHECK(worker.has_begun());
    KTAP_CHECK(worker.join() == TaskEnd::faulted);
    if (const char* wrong = check_record(loading, worker, fault, "reversed")) return wrong;
    KTAP_CHECK(measured_faults(loading.name()) == 1);
    may_go.post();
    KTAP_CHECK(holder.join() == TaskEnd::returned);
    KTAP_CHECK(loading.await(HistoryEvent::unloaded));
    return nullptr;
}

const char* contained_in_probation(Fault fault) {
    Loading loading(kLongProbationNs);
    KTAP_CHECK(loading.is_accepted());
    KTAP_CHECK(loading.await(HistoryEvent::loaded));
    Worker worker(fault);
    KTAP_CHECK(worker.has_begun());
    KTAP_CHECK(worker.join() == TaskEnd::faulted);
    if (const char* wrong = check_record(loading, worker, fault, "rolled-back")) return wrong;
    KTAP_CHECK(loading.await(HistoryEvent::rolled_back));
    return nullptr;
}

// It leads out again.
const char* contained_in_a_reversed_unload() {
    Loading loading;
    KTAP_CHECK(loading.await(HistoryEvent::loaded));
    Worker on_new_side(Fault::stay);
    KTAP_CHECK(stay_now(1));
    KTAP_CHECK(kernel::patch_registry().unregister(loading.name()));
    KTAP_CHECK(loading.await(HistoryEvent::unload_started));
    Worker on_old_side(Fault::stay);
    KTAP_CHECK(stay_now(2));
    KTAP_CHECK(kernel::patch_registry().reverse(loading.name()));
    Worker worker(Fault::read);
    KTAP_CHECK(worker.join() == TaskEnd::faulted);
    if (const char* wrong = check_record(loading, worker, Fault::read, "reversed")) return wrong;
    may_go.post(2);
    KTAP_CHECK(on_new_side.join() == TaskEnd::returned);
    KTAP_CHECK(on_old_side.join() == TaskEnd::returned);
    KTAP_CHECK(loading.await(HistoryEvent::unloaded));
    return nullptr;
}

// The one that faults is the one that holds the transition, which goes on to its end.
const char* contained_in_an_unload() {
    Loading loading;
    KTAP_CHECK(loading.await(HistoryEvent::loaded));
    Worker holder(Fault::late);
    KTAP_CHECK(stay_now(1));
    KTAP_CHECK(kernel::patch_registry().unregister(loading.name()));
    KTAP_CHECK(loading.await(HistoryEvent::unload_started));
    may_go.post();
    KTAP_CHECK(holder.join() == TaskEnd::faulted);
    if (const char* wrong = check_record(loading, holder, Fault::late, "leaves")) return wrong;
    staying.store(0, std::memory_order_relaxed);
    KTAP_CHECK(loading.await(HistoryEvent::unloaded));
    return nullptr;
}

// Keeps the registry's lock until it is told to let go. A visitor mustn't sleep, so it spins.
class LockKeeper final : public patch::PatchVisitor {
public:
    explicit LockKeeper(std::string_view patch) : patch_(patch) {
        auto made = kernel::create_task(keep_lock, this, {.name = "lock-keeper"});
        if (made) task_ = std::move(*made);
    }
    ~LockKeeper() { let_go(); }
    bool has_lock() const { return has_lock_.load(std::memory_order_acquire); }
    void let_go() {
        goes_on_.store(false, std::memory_order_relaxed);
        if (task_) task_.join();
    }
    void patch(const patch::PatchView&) override {
        has_lock_.store(true, std::memory_order_release);
        while (goes_on_.load(std::memory_order_relaxed)) arch::pause();
    }

private:
    static void keep_lock(void* argument) {
        auto& keeper = *static_cast<LockKeeper*>(argument);
        (void)kernel::patch_registry().visit_patch(keeper.patch_, keeper);
    }

    std::string_view patch_;
    kernel::TaskHandle task_;
    std::atomic<bool> has_lock_{false};
    std::atomic<bool> goes_on_{true};
};

// Is the task's innermost wait one for a mutex?
bool waits_for_mutex(u64 task) {
    auto view = kernel::view_task(task);
    auto stack = kernel::view_stack(task);
    if (!view || view->state != kernel::TaskState::blocked || !stack) return false;
    Text<2048> text;
    kernel::append_stack(text, *stack);
    return text.view().find("Mutex::lock") != std::string_view::npos;
}

u64 patch_worker() {
    class Finder final : public kernel::TaskSink {
    public:
        void task(const kernel::TaskView& view) override {
            if (view.name_view() == "patch-worker") id = view.id;
        }
        u64 id = 0;
    } finder;
    kernel::view_tasks(finder);
    return finder.id;
}

bool is_blocked(const Worker& worker) {
    auto view = kernel::view_task(worker.id());
    return view && view->state == kernel::TaskState::blocked;
}

bool has_ended(const Worker& worker) {
    return eventually([&] { return !kernel::view_task(worker.id()); });
}

// The patch worker has looked for stopped tasks already and waits for the registry's lock when others are stopped.
// What wakes it then is taken by the wait for the lock; so it must know of the request otherwise.
const char* told_though_the_worker_waits() {
    Worker holder(Fault::stay);
    KTAP_CHECK(stay_now(1));
    Loading loading;
    KTAP_CHECK(loading.await(HistoryEvent::load_started));
    Worker first, second;
    {
        LockKeeper keeper(loading.name());
        KTAP_CHECK(eventually([&] { return keeper.has_lock(); }));
        kernel::wake_patch_worker();
        u64 waiting = patch_worker();
        KTAP_CHECK(eventually([&] { return waits_for_mutex(waiting); }));
        first = Worker(Fault::read);
        KTAP_CHECK(eventually([&] { return is_blocked(first); }));
        second = Worker(Fault::write);
        KTAP_CHECK(eventually([&] { return is_blocked(second); }));
        // Woken by each, it looks whether it has the lock, and waits on.
        KTAP_CHECK(eventually([&] { return waits_for_mutex(waiting); }));
    }
    KTAP_CHECK(has_ended(first) && has_ended(second));
    KTAP_CHECK(first.join() == TaskEnd::faulted && second.join() == TaskEnd::faulted);
    if (const char* wrong = check_record(loading, first, Fault::read, "reversed")) return wrong;
    if (const char* wrong = check_record(loading, second, Fault::write, "leaves")) return wrong;
    may_go.post();
    KTAP_CHECK(holder.join() == TaskEnd::returned);
    KTAP_CHECK(loading.await(HistoryEvent::unloaded));
    return nullptr;
}

const char* several_at_once(u32 rounds) {
    constexpr usize kWorkers = 4;
    constexpr Fault kFaults[kWorkers] = {Fault::read, Fault::helper, Fault::memcpy, Fault::divide};
    for (u32 round = 0; round < rounds; ++round) {
        Loading loading(kLongProbationNs);
        KTAP_CHECK(loading.is_accepted());
        KTAP_CHECK(loading.await(HistoryEvent::load_started));
        std::array<Worker, kWorkers> workers;
        for (usize i = 0; i < kWorkers; ++i) workers[i] = Worker(kFaults[i]);
        usize faulted = 0;
        // Who comes after the way back has begun does his job in the old world.
        for (Worker& worker : workers) faulted += worker.join() == TaskEnd::faulted ? 1 : 0;
        KTAP_CHECK(faulted >= 1);
        KTAP_CHECK(
            eventually([&] { return loading.has(HistoryEvent::rolled_back) || loading.has(HistoryEvent::unloaded); }));
    }
    return nullptr;
}

// ---- nothing is lost ------------------------------------------------------------------------------------------------

struct Standing {
    u64 tasks = 0;
    tests::Footprint memory;

    bool operator==(const Standing&) const = default;
};

Standing standing() {
    return {kernel::task_count(), tests::footprint()};
}

bool settles_at(const Standing& wanted) {
    bool is_there = eventually([&] { return kernel::patch_registry().is_idle() && standing() == wanted; });
    if (is_there) return true;
    tests::report("before", wanted.memory);
    tests::report("after", standing().memory);
    return false;
}

// Without any patch there is the code that the system makes for itself.
u64 own_code_areas = 0;

const char* hundreds_leave_nothing_behind() {
    if (const char* wrong = several_at_once(5)) return wrong;
    // What the first ones make and keep (page tables, slabs) isn't what is looked for.
    Standing before;
    KTAP_CHECK(eventually([&] {
        before = standing();
        return kernel::patch_registry().is_idle() && before.memory.code_areas == own_code_areas;
    }));
    if (const char* wrong = several_at_once(60)) return wrong;
    KTAP_CHECK(settles_at(before));
    return nullptr;
}

// ---- callbacks ------------------------------------------------------------------------------------------------------

class FaultyCallback {
public:
    explicit FaultyCallback(Callback which) { faulty_callback.store(which, std::memory_order_relaxed); }
    ~FaultyCallback() { faulty_callback.store(Callback::none, std::memory_order_relaxed); }
};

const char* pre_patch_refuses() {
    FaultyCallback faulty(Callback::pre_patch);
    Loading loading;
    KTAP_CHECK(loading.await(HistoryEvent::fault));
    auto record = loading.await(HistoryEvent::refused);
    KTAP_CHECK(record && record->refusal.code == patch::RefusalCode::pre_patch_faulted);
    KTAP_CHECK(!loading.has(HistoryEvent::load_started));
    return nullptr;
}

const char* post_patch_on_probation_rolls_back() {
    FaultyCallback faulty(Callback::post_patch);
    Loading loading(kLongProbationNs);
    auto record = loading.await(HistoryEvent::fault);
    KTAP_CHECK(record && record->then == "rolled-back");
    KTAP_CHECK(loading.await(HistoryEvent::rolled_back));
    return nullptr;
}

const char* unload(Loading& loading) {
    KTAP_CHECK(kernel::patch_registry().unregister(loading.name()));
    KTAP_CHECK(loading.await(HistoryEvent::unloaded));
    return nullptr;
}

const char* post_patch_alone_stays() {
    FaultyCallback faulty(Callback::post_patch);
    Loading loading;
    auto record = loading.await(HistoryEvent::fault);
    KTAP_CHECK(record && record->then == "stays");
    KTAP_CHECK(loading.await(HistoryEvent::loaded));
    return unload(loading);
}

// The unload is gone through with, and the other callbacks run.
const char* faulty_on_the_way_out(Callback which) {
    Loading loading;
    KTAP_CHECK(loading.await(HistoryEvent::loaded));
    FaultyCallback faulty(which);
    if (const char* wrong = unload(loading)) return wrong;
    KTAP_CHECK(loading.has(HistoryEvent::fault));
    KTAP_CHECK(kernel::shadow_store().count(kState) == 0);
    return nullptr;
}

void run_tests() {
    own_code_areas = tests::footprint().code_areas;
    tests::Ktap ktap(kLastAtOnce + 16);
    ktap.run("all processors run", [] { return tests::wait_for_idle_tasks() ? nullptr : "an idle task is missing"; });
    for (usize i = 1; i <= kLastAtOnce; ++i) {
        auto fault = static_cast<Fault>(i);
        Text<80> name;
        name.append("contained in a transition: ", kFaultNames[i]);
        ktap.run(name.view(), [&] { return contained_in_transition(fault); });
    }
    ktap.run("contained in a canary", [] { return contained_in_a_canary(Fault::memcpy); });
    ktap.run("contained in probation", [] { return contained_in_probation(Fault::read); });
    ktap.run("contained in probation, below the patch", [] { return contained_in_probation(Fault::memcpy); });
    ktap.run("contained when an unload is reversed", contained_in_a_reversed_unload);
    ktap.run("contained in an unload", contained_in_an_unload);
    ktap.run("several tasks at once", [] { return several_at_once(3); });
    ktap.run("told of though the worker waits for a lock", told_though_the_worker_waits);
    ktap.run("hundreds leave nothing behind", hundreds_leave_nothing_behind);
    ktap.run("a fault in pre_patch refuses the load", pre_patch_refuses);
    ktap.run("a fault in post_patch rolls back", post_patch_on_probation_rolls_back);
    ktap.run("a fault in post_patch without probation stays", post_patch_alone_stays);
    ktap.run("a fault in pre_unpatch", [] { return faulty_on_the_way_out(Callback::pre_unpatch); });
    ktap.run("a fault in post_unpatch", [] { return faulty_on_the_way_out(Callback::post_unpatch); });
    ktap.run("a fault in a destructor of shadow variables", [] { return faulty_on_the_way_out(Callback::destroy); });
    ktap.run("callbacks after faults", [] { return contained_in_probation(Fault::helper); });
    ktap.finish();
}

// ---- what isn't -----------------------------------------------------------------------------------------------------

template <usize N>
usize index_of(const std::string_view (&names)[N], std::string_view name) {
    for (usize i = 0; i < N; ++i) {
        if (names[i] == name) return i;
    }
    return 0;
}

constinit Order the_order;

bool do_it_in_the_handler(arch::InterruptFrame*, void*) {
    do_job(the_order);
    return true;
}

void do_it(std::string_view where) {
    static kernel::WorkItem work([](void*) { do_job(the_order); }, nullptr);
    if (where == "work") {
        work.queue();
    } else if (where == "handler") {
        kernel::set_exception_handler(arch::kVectorInvalidOpcode, do_it_in_the_handler, nullptr);
        asm volatile("ud2");
    } else {
        do_job(the_order);
    }
    kernel::sleep_ns(tests::kHangNs);
}

void await_stay() {
    (void)eventually([] { return staying.load(std::memory_order_relaxed) == 1; });
}

// A task inside what the next patch changes faults while that one's transition runs.
void fault_on_the_old_side(Fault fault) {
    Worker worker(fault);
    await_stay();
    Loading loading;
    (void)loading.await(HistoryEvent::load_started);
    may_go.post();
    (void)worker.join();
}

void fault_in_a_replaced_patch() {
    Loading replaced;
    (void)replaced.await(HistoryEvent::loaded);
    fault_on_the_old_side(Fault::late);
}

void fault_in_a_patch(Fault fault, std::string_view when, std::string_view where) {
    the_order.fault = fault;
    bool in_transition = when != "probation" && when != "committed";
    Worker holder(in_transition ? Fault::stay : Fault::none);
    if (in_transition) await_stay();
    Loading loading(when == "probation" ? kLongProbationNs : 0);
    (void)loading.await(in_transition ? HistoryEvent::load_started : HistoryEvent::loaded);
    do_it(where);
}

[[gnu::noinline]] void serve_once(void*) {
    do_job(the_order);
    kernel::sleep_ns(20'000'000);
}

// For a patch that comes over the control link: somebody holds its transition, and somebody faults.
void serve() {
    the_order.fault = Fault::read;
    Worker holder(Fault::stay);
    await_stay();
    auto server = kernel::create_task(
        [](void* argument) {
            for (;;) serve_once(argument);
        },
        nullptr, {.name = "server"});
    if (server) kernel::log(kernel::LogLevel::info, "serving");
    kernel::sleep_ns(tests::kHangNs * 10);
}

void do_one(const kernel::CommandLine& arguments) {
    std::string_view name = arguments.value("fault").value_or("none");
    std::string_view when = arguments.value("when").value_or("transition");
    auto fault = static_cast<Fault>(index_of(kFaultNames, name));
    if (name == "serve") {
        serve();
    } else if (fault == Fault::original) {
        fault_on_the_old_side(fault);
    } else if (when == "replaced") {
        fault_in_a_replaced_patch();
    } else {
        fault_in_a_patch(fault, when, arguments.value("where").value_or("task"));
    }
    kernel::exit_with(kernel::kExitSuccess);
}

}  // namespace

}  // namespace graft::contain_test

void app_main(const graft::kernel::CommandLine& arguments) {
    if (arguments.value("fault")) {
        graft::contain_test::do_one(arguments);
    } else {
        graft::contain_test::run_tests();
    }
}
