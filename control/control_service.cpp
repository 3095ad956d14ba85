#include "control/control_service.h"

#include "control/kernel_system.h"
#include "control/serial_service.h"
#include "kernel/clock.h"
#include "kernel/log.h"
#include "kernel/patch_service.h"
#include "kernel/patch_worker.h"
#include "kernel/task.h"

namespace graft::control {

namespace {

constexpr usize kServiceStack = 64 * 1024;  // a load runs on it
constexpr usize kFollowerStack = 8 * 1024;

class PortDevice final : public ByteDevice {
public:
    explicit PortDevice(drivers::Uart16550& port) : port_(port) {}

    usize read(std::span<std::byte> out) override {
        return port_.read({reinterpret_cast<u8*>(out.data()), out.size()});
    }
    usize room() override { return port_.writable(); }
    void write(std::span<const std::byte> bytes) override {
        port_.write_some({reinterpret_cast<const u8*>(bytes.data()), bytes.size()});
    }

private:
    drivers::Uart16550& port_;
};

// Everything that the service needs; made once and never destroyed.
struct Service {
    explicit Service(drivers::Uart16550& uart)
        : port(uart),
          device(uart),
          system(kernel::patch_registry()),
          serial(device, system, static_cast<u32>(kernel::now_ns())) {}

    drivers::Uart16550& port;
    PortDevice device;
    KernelSystem system;
    SerialService serial;
    u64 log_seen = kernel::next_log_sequence();  // the log's follower's own
    u64 history_seen = 0;                        // the history's follower's own
};

void service_round(void* argument) {
    auto& service = *static_cast<Service*>(argument);
    u64 next = service.serial.service_round(kernel::now_ns());
    service.port.wait_event(next);
}

// A reader that waits at the end of log or history is answered by the service's next round.
void follow_log(void* argument) {
    auto& service = *static_cast<Service*>(argument);
    if (!kernel::wait_for_log(service.log_seen, kernel::kNever)) return;
    service.log_seen = kernel::next_log_sequence();
    service.port.wake_event();
}

void follow_history(void* argument) {
    auto& service = *static_cast<Service*>(argument);
    if (!kernel::wait_for_history(service.history_seen)) return;
    service.history_seen = kernel::history_generation();
    service.port.wake_event();
}

bool start_task(kernel::TaskFunction round, Service& service, std::string_view name, usize stack_size) {
    kernel::TaskOptions options;
    options.repeats = true;
    options.name = name;
    options.is_own = true;
    options.priority = kernel::kServicePriority;
    options.stack_size = stack_size;
    options.is_needed = true;
    options.uses_sse = false;
    auto task = kernel::create_task(round, &service, options);
    return task.has_value();
}

}  // namespace

bool start_control_service(drivers::Uart16550& port) {
    auto* service = new (kOrNull) Service(port);
    bool is_started = service != nullptr && service->serial.allocate() &&
                      start_task(service_round, *service, "control", kServiceStack) &&
                      start_task(follow_log, *service, "control-log", kFollowerStack) &&
                      start_task(follow_history, *service, "control-history", kFollowerStack);
    if (!is_started) kernel::log(kernel::LogLevel::error, "control: no memory for the service");
    return is_started;
}

}  // namespace graft::control
