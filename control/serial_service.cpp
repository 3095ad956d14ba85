#include "control/serial_service.h"

#include <algorithm>

namespace graft::control {

using formats::LinkEnd;
using formats::LinkState;
using formats::Nanoseconds;

namespace {

// So many bytes are taken from the device in one round, so that a flood doesn't keep the service from answering.
constexpr usize kMaxPerRound = 16 * 1024;

}  // namespace

SerialService::SerialService(ByteDevice& device, System& system, u32 epoch, const formats::LinkTimes& times)
    : device_(device),
      system_(system),
      link_(formats::LinkRole::server, epoch, times),
      tree_(system, patch::Source::serial),
      server_(tree_) {}

Nanoseconds SerialService::service_round(Nanoseconds now) {
    bool has_more = take_from_device(now);
    link_.on_time(now);
    heed_restart();
    server_.poll();
    bool has_moved = true;
    while (has_moved) {
        has_moved = send_replies();
        has_moved |= feed_server();
    }
    if (server_.is_broken() && server_.output().empty()) link_.close(now);
    give_to_device(now);
    return has_more ? now : link_.next_deadline();
}

// True when the device may have more.
bool SerialService::take_from_device(Nanoseconds now) {
    std::array<std::byte, 256> chunk;
    for (usize taken = 0; taken < kMaxPerRound;) {
        usize count = device_.read(chunk);
        if (count == 0) return false;
        link_.on_bytes(std::span(chunk).first(count), now);
        taken += count;
    }
    return true;
}

// A session has begun or ended: nothing of the former client's may reach the next one.
void SerialService::heed_restart() {
    if (!link_.take_restart()) return;
    server_.reset();
    pending_begin_ = 0;
    pending_end_ = 0;
    // Clients come and go with every command of a user; only one that is lost is worth the log.
    bool is_lost = link_.state() == LinkState::ended && link_.end() != LinkEnd::closed_by_peer;
    if (!is_lost) return;
    Text<128> text;
    text.append("control: the client is lost: ", formats::describe(link_.end()));
    system_.note(text.view());
}

// True when something was moved.
bool SerialService::feed_server() {
    if (pending_begin_ == pending_end_) {
        pending_begin_ = 0;
        pending_end_ = link_.read(pending_);
    }
    if (pending_begin_ == pending_end_) return false;
    usize count = server_.receive(std::span(pending_).subspan(pending_begin_, pending_end_ - pending_begin_));
    pending_begin_ += count;
    return count != 0;
}

bool SerialService::send_replies() {
    usize count = link_.write(server_.output());
    server_.consume_output(count);
    if (count != 0) server_.poll();
    return count != 0;
}

void SerialService::give_to_device(Nanoseconds now) {
    std::array<std::byte, 256> chunk;
    while (true) {
        usize room = std::min(device_.room(), chunk.size());
        if (room == 0) return;
        usize count = link_.bytes_to_send(std::span(chunk).first(room), now);
        if (count == 0) return;
        device_.write(std::span(chunk).first(count));
    }
}

}  // namespace graft::control
