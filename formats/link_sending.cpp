// The sending half of LinkEndpoint: the stream that goes in, and which frame is next on the line.
#include <algorithm>
#include <cstring>

#include "base/writer.h"
#include "formats/link.h"
#include "formats/link_parts.h"

namespace graft::formats {

usize LinkEndpoint::write(std::span<const std::byte> bytes) {
    if (state_ != LinkState::attached) return 0;
    usize count = 0;
    while (count < bytes.size()) {
        bool may_fill_last =
            next_new_ != next_unsent_ && outgoing(static_cast<u16>(next_new_ - 1)).length < kFramePayloadMax;
        if (!may_fill_last) {
            if (distance(first_unacknowledged_, next_new_) >= static_cast<int>(kLinkWindow)) break;
            Outgoing& fresh = outgoing(next_new_++);
            fresh.progress = Outgoing::Progress::fresh;
            fresh.length = 0;
        }
        Outgoing& slot = outgoing(static_cast<u16>(next_new_ - 1));
        usize part = std::min(bytes.size() - count, kFramePayloadMax - slot.length);
        std::memcpy(slot.bytes.data() + slot.length, bytes.data() + count, part);
        slot.length = static_cast<u8>(slot.length + part);
        count += part;
    }
    return count;
}

usize LinkEndpoint::bytes_to_send(std::span<std::byte> out, Nanoseconds now) {
    on_time(now);
    usize count = 0;
    while (count < out.size()) {
        if (wire_sent_ == wire_length_ && !compose_next(now)) break;
        usize part = std::min(out.size() - count, wire_length_ - wire_sent_);
        std::memcpy(out.data() + count, wire_.data() + wire_sent_, part);
        wire_sent_ += part;
        count += part;
    }
    return count;
}

bool LinkEndpoint::compose_next(Nanoseconds now) {
    if (compose_handshake()) return true;
    if (!has_session()) return false;
    if (ping_due_) {
        compose_ping(now);
        return true;
    }
    // Data carries an ack, but not which frames lie behind a hole.
    if (ack_due_ && has_hole()) {
        compose_ack();
        return true;
    }
    if (compose_data(now)) return true;
    if (ack_due_) {
        compose_ack();
        return true;
    }
    if (retransmit_deadline_ == kNever) rearm_retransmit(now);
    return false;
}

bool LinkEndpoint::compose_handshake() {
    std::array<std::byte, 8> payload;
    Writer writer(payload);
    Frame frame;
    frame.from_server = role_ == LinkRole::server;
    if (refusal_due_) {
        refusal_due_ = false;
        frame.type = FrameType::reset;
        frame.epoch = refusal_epoch_;
        writer.write(refusal_reason_);
    } else if (hello_due_) {
        hello_due_ = false;
        frame.type = FrameType::hello;
        frame.epoch = own_epoch_;
        writer.write(kLinkVersion);
    } else if (welcome_due_) {
        welcome_due_ = false;
        frame.type = FrameType::welcome;
        frame.epoch = client_epoch_;
        writer.write(kLinkVersion);
        writer.write(own_epoch_);
    } else if (close_due_) {
        close_due_ = false;
        frame = session_frame(FrameType::close);
    } else {
        return false;
    }
    frame.payload = writer.written();
    compose(frame);
    return true;
}

bool LinkEndpoint::compose_data(Nanoseconds now) {
    if (lost_frames_ != 0) {
        for (u16 sequence = first_unacknowledged_; sequence != next_unsent_; ++sequence) {
            if (outgoing(sequence).progress != Outgoing::Progress::lost) continue;
            --lost_frames_;
            ++statistics_.data_sent_again;
            compose_one_data(sequence, now);
            return true;
        }
    }
    if (next_unsent_ == next_new_ || is_blocked_by_window()) return false;
    compose_one_data(next_unsent_++, now);
    return true;
}

void LinkEndpoint::compose_one_data(u16 sequence, Nanoseconds now) {
    Outgoing& slot = outgoing(sequence);
    slot.progress = Outgoing::Progress::sent;
    slot.transmission = number_transmission(now);
    Frame frame = session_frame(FrameType::data);
    frame.sequence = sequence;
    frame.payload = std::span<const std::byte>(slot.bytes).first(slot.length);
    compose(frame);
    if (!has_hole()) note_acknowledged();
    if (retransmit_deadline_ == kNever) rearm_retransmit(now);
}

void LinkEndpoint::compose_ack() {
    std::array<std::byte, 8> payload;
    Writer writer(payload);
    writer.write(received_bitmap());
    Frame frame = session_frame(FrameType::ack);
    frame.payload = writer.written();
    compose(frame);
    note_acknowledged();
}

void LinkEndpoint::compose_ping(Nanoseconds now) {
    ping_due_ = false;
    last_ping_ = now;
    ++statistics_.pings_sent;
    number_transmission(now);
    compose(session_frame(FrameType::ping));
}

Frame LinkEndpoint::session_frame(FrameType type) const {
    Frame frame;
    frame.type = type;
    frame.from_server = role_ == LinkRole::server;
    frame.epoch = session_epoch_;
    frame.transmission = last_transmission_;
    frame.ack = next_expected_;
    frame.echo = own_echo_;
    frame.window = receive_window();
    return frame;
}

void LinkEndpoint::compose(const Frame& frame) {
    wire_length_ = encode_frame(frame, wire_);
    wire_sent_ = 0;
    ++statistics_.frames_sent;
    announced_limit_ = static_cast<u16>(next_read_ + kLinkWindow);
}

void LinkEndpoint::note_acknowledged() {
    ack_due_ = false;
    unacknowledged_frames_ = 0;
    ack_deadline_ = kNever;
}

u16 LinkEndpoint::number_transmission(Nanoseconds now) {
    ++last_transmission_;
    sent_at_[last_transmission_ % kLinkWindow] = now;
    return last_transmission_;
}

}  // namespace graft::formats
