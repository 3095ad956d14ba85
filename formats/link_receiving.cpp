// The receiving half of LinkEndpoint: frames of the session, what they acknowledge, the round trips that they measure,
// and the stream that comes out of them.
#include <algorithm>
#include <cstring>

#include "base/reader.h"
#include "formats/link.h"
#include "formats/link_parts.h"

namespace graft::formats {

namespace {

// An ack for this many frames is sent at once, one for fewer after the ack delay.
constexpr unsigned kFramesPerAck = 8;
// An ack is sent at once when reading has made room for this many frames more than the peer knows of.
constexpr u16 kWindowUpdate = kLinkWindow / 4;
// Until a round trip has been measured.
constexpr Nanoseconds kFirstTimeout = 200 * kMillisecond;

}  // namespace

void LinkEndpoint::on_session_frame(const Frame& frame, Nanoseconds now) {
    if (!has_session() || frame.epoch != session_epoch_) {
        ++statistics_.void_frames;
        // A client only ignores what isn't its own: it may be a former client's. A server tells the sender, except that
        // a client which closes learns of the end even when the first answer to its close was lost.
        bool is_late_close = frame.type == FrameType::close && frame.epoch == session_epoch_;
        if (role_ == LinkRole::server || is_late_close) refuse(frame.epoch, reason_for_unknown(frame.epoch));
        return;
    }
    ++statistics_.frames_received;
    last_heard_ = now;
    bool has_number = frame.type == FrameType::data || frame.type == FrameType::ping;
    if (has_number && distance(own_echo_, frame.transmission) > 0) own_echo_ = frame.transmission;
    take_echo(frame, now);
    bool has_progressed = take_acknowledgement(frame);
    if (frame.type == FrameType::ack) has_progressed |= take_bitmap(frame);
    if (has_progressed) {
        retransmit_after_ = measured_timeout();
        rearm_retransmit(now);
    }
    switch (frame.type) {
        case FrameType::data:
            return on_data(frame, now);
        case FrameType::ping:
            return owe_ack(now, true);
        case FrameType::close:
            return on_close();
        default:
            return;
    }
}

void LinkEndpoint::on_data(const Frame& frame, Nanoseconds now) {
    if (frame.payload.empty() || distance(next_read_, frame.sequence) >= static_cast<int>(kLinkWindow)) {
        ++statistics_.beyond_window;
        return owe_ack(now, true);
    }
    Incoming& slot = incoming(frame.sequence);
    if (distance(next_expected_, frame.sequence) < 0 || slot.received) {
        ++statistics_.duplicates;
        return owe_ack(now, true);
    }
    bool had_hole = has_hole();
    std::memcpy(slot.bytes.data(), frame.payload.data(), frame.payload.size());
    slot.length = static_cast<u8>(frame.payload.size());
    slot.received = true;
    if (distance(furthest_, frame.sequence) >= 0) furthest_ = static_cast<u16>(frame.sequence + 1);
    while (next_expected_ != furthest_ && incoming(next_expected_).received) ++next_expected_;
    owe_ack(now, had_hole || has_hole());
}

void LinkEndpoint::owe_ack(Nanoseconds now, bool at_once) {
    if (at_once || ++unacknowledged_frames_ >= kFramesPerAck) {
        ack_due_ = true;
        return;
    }
    if (ack_deadline_ == kNever) ack_deadline_ = after(now, times_.ack_delay);
}

// The cumulative part, which every frame carries. True when the peer has received or made room for more.
bool LinkEndpoint::take_acknowledgement(const Frame& frame) {
    int newly_received = distance(first_unacknowledged_, frame.ack);
    if (newly_received < 0 || newly_received > distance(first_unacknowledged_, next_unsent_)) return false;
    bool has_progressed = newly_received > 0;
    for (; first_unacknowledged_ != frame.ack; ++first_unacknowledged_) {
        if (outgoing(first_unacknowledged_).progress == Outgoing::Progress::lost) --lost_frames_;
    }
    u16 limit = static_cast<u16>(frame.ack + std::min<usize>(frame.window, kLinkWindow));
    if (distance(peer_limit_, limit) > 0) {
        peer_limit_ = limit;
        has_progressed = true;
    }
    return has_progressed;
}

// The selective part. An ack frame tells of every frame that its sender had received when it sent it, so it is the one
// kind of frame from which a loss can be concluded (I2). True when there are frames to be sent again.
bool LinkEndpoint::take_bitmap(const Frame& frame) {
    Reader reader(frame.payload);
    u64 bitmap = reader.read<u64>();
    // An old copy of an ack frame has less to say than is known already.
    if (!reader.ok() || frame.ack != first_unacknowledged_) return false;
    u16 sequence = first_unacknowledged_;
    for (++sequence; distance(sequence, next_unsent_) > 0; ++sequence, bitmap >>= 1) {
        Outgoing& slot = outgoing(sequence);
        if ((bitmap & 1) == 0 || slot.progress == Outgoing::Progress::received) continue;
        if (slot.progress == Outgoing::Progress::lost) --lost_frames_;
        slot.progress = Outgoing::Progress::received;
    }
    find_losses(frame.echo);
    return lost_frames_ != 0;
}

void LinkEndpoint::find_losses(u16 echo) {
    if (distance(echo, last_transmission_) < 0) return;
    for (u16 sequence = first_unacknowledged_; sequence != next_unsent_; ++sequence) {
        Outgoing& slot = outgoing(sequence);
        if (slot.progress != Outgoing::Progress::sent || distance(slot.transmission, echo) < 0) continue;
        slot.progress = Outgoing::Progress::lost;
        ++lost_frames_;
    }
}

// The first frame that echoes a transmission measures its round trip: the echo names what did arrive, so that neither a
// loss nor a second sending can be mistaken for a long way. A ping is no answer: the echo that it repeats may be old.
void LinkEndpoint::take_echo(const Frame& frame, Nanoseconds now) {
    int age = distance(frame.echo, last_transmission_);
    if (age < 0 || distance(peer_echo_, frame.echo) <= 0) return;
    peer_echo_ = frame.echo;
    bool is_answer = frame.type != FrameType::ping && age < static_cast<int>(kLinkWindow);
    if (is_answer) measure_round_trip(now - sent_at_[frame.echo % kLinkWindow]);
}

// [rfc6298 §2]
void LinkEndpoint::measure_round_trip(Nanoseconds sample) {
    if (smoothed_round_trip_ == 0) {
        smoothed_round_trip_ = sample;
        round_trip_variation_ = sample / 2;
        return;
    }
    Nanoseconds deviation =
        sample > smoothed_round_trip_ ? sample - smoothed_round_trip_ : smoothed_round_trip_ - sample;
    round_trip_variation_ = (3 * round_trip_variation_ + deviation) / 4;
    smoothed_round_trip_ = (7 * smoothed_round_trip_ + sample) / 8;
}

Nanoseconds LinkEndpoint::measured_timeout() const {
    Nanoseconds timeout = smoothed_round_trip_ == 0 ? kFirstTimeout : smoothed_round_trip_ + 4 * round_trip_variation_;
    return std::clamp(timeout, times_.retransmit_floor, times_.retransmit_ceiling);
}

bool LinkEndpoint::has_hole() const {
    return furthest_ != next_expected_;
}

u64 LinkEndpoint::received_bitmap() const {
    u64 bitmap = 0;
    u16 sequence = next_expected_;
    unsigned bit = 0;
    for (++sequence; distance(sequence, furthest_) > 0; ++sequence, ++bit) {
        if (incoming(sequence).received) bitmap |= u64{1} << bit;
    }
    return bitmap;
}

u8 LinkEndpoint::receive_window() const {
    return static_cast<u8>(kLinkWindow - static_cast<u16>(next_expected_ - next_read_));
}

bool LinkEndpoint::can_read() const {
    return next_read_ != next_expected_;
}

usize LinkEndpoint::read(std::span<std::byte> out) {
    usize count = 0;
    while (count < out.size() && can_read()) {
        Incoming& slot = incoming(next_read_);
        usize part = std::min(out.size() - count, slot.length - read_offset_);
        std::memcpy(out.data() + count, slot.bytes.data() + read_offset_, part);
        count += part;
        read_offset_ += part;
        if (read_offset_ < slot.length) break;
        slot.received = false;
        read_offset_ = 0;
        ++next_read_;
    }
    bool was_shut = announced_limit_ == next_expected_;
    int gained = distance(announced_limit_, static_cast<u16>(next_read_ + kLinkWindow));
    if (has_session() && gained > 0 && (was_shut || gained >= kWindowUpdate)) ack_due_ = true;
    return count;
}

}  // namespace graft::formats
