// SerialService: the control tree over a serial line. It moves bytes between a device, the link and the 9P server.
//
// All work is done in rounds that never wait. The task that runs the service calls service_round() whenever the device
// has received something or has room again, when something was added to log or history, and when the time that the last
// round named has come. Not synchronised; context: task.
#pragma once

#include <array>
#include <span>

#include "base/types.h"
#include "control/server.h"
#include "control/system.h"
#include "control/tree.h"
#include "formats/link.h"

namespace graft::control {

// A line of bytes; a driver's port. Neither call waits.
class ByteDevice {
public:
    // What has arrived; 0 when nothing has.
    virtual usize read(std::span<std::byte> out) = 0;
    // How many bytes write() would take now. The driver wakes the service when it has grown from 0.
    virtual usize room() = 0;
    // At most room() bytes, all of which are taken.
    virtual void write(std::span<const std::byte> bytes) = 0;

protected:
    ~ByteDevice() = default;
};

class SerialService {
public:
    // `epoch`: a number unlikely to have been used at an earlier boot, such as the processor's time stamp.
    SerialService(ByteDevice& device, System& system, u32 epoch, const formats::LinkTimes& times = {});

    // False when there is no memory; then the service must not be used.
    [[nodiscard]] bool allocate() { return server_.allocate(); }

    // `now` in ns, from any fixed start. Returns when it is to be called next at the latest, or formats::kNever.
    formats::Nanoseconds service_round(formats::Nanoseconds now);

    const formats::LinkEndpoint& link() const { return link_; }

private:
    bool take_from_device(formats::Nanoseconds now);
    void heed_restart();
    bool feed_server();
    bool send_replies();
    void give_to_device(formats::Nanoseconds now);

    ByteDevice& device_;
    System& system_;
    formats::LinkEndpoint link_;
    ControlTree tree_;
    Server server_;
    // Bytes of the stream that the server had no room for yet.
    std::array<std::byte, 512> pending_{};
    usize pending_begin_ = 0;
    usize pending_end_ = 0;
};

}  // namespace graft::control
