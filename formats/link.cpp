#include "formats/link.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/reader.h"
#include "base/writer.h"

namespace graft::formats {

namespace {

// Reasons in a reset frame.
enum class ResetReason : u8 { unknown = 1, replaced = 2, closed = 3, version = 4, timed_out = 5 };

// An ack for this many frames is sent at once, one for fewer after the ack delay.
constexpr unsigned kFramesPerAck = 8;
// An ack is sent at once when reading has made room for this many frames more than the peer knows of.
constexpr u16 kWindowUpdate = kLinkWindow / 4;
// Until a round trip has been measured.
constexpr Nanoseconds kFirstTimeout = 200 * kMillisecond;

// How far `later` is after `earlier` on the circle of sequence numbers; negative when it is before.
constexpr int distance(u16 earlier, u16 later) {
    return static_cast<i16>(static_cast<u16>(later - earlier));
}

// Both sides' numbers mixed (the finaliser of a 64-bit hash), so that counting up either gives an unrelated epoch.
constexpr u32 mix_epochs(u32 client, u32 server) {
    u64 value = (u64{client} << 32) | server;
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdull;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53ull;
    value ^= value >> 33;
    return static_cast<u32>(value);
}

constexpr Nanoseconds after(Nanoseconds now, Nanoseconds delay) {
    return now > kNever - delay ? kNever : now + delay;
}

LinkEnd end_for(u8 reason) {
    switch (static_cast<ResetReason>(reason)) {
        case ResetReason::replaced:
            return LinkEnd::replaced;
        case ResetReason::closed:
            return LinkEnd::closed_by_peer;
        case ResetReason::version:
            return LinkEnd::version_mismatch;
        case ResetReason::timed_out:
            return LinkEnd::dead;
        case ResetReason::unknown:
            break;
    }
    return LinkEnd::unknown_session;
}

}  // namespace

const char* describe(LinkEnd end) {
    switch (end) {
        case LinkEnd::none:
            return "the session goes on";
        case LinkEnd::closed:
            return "the session was closed";
        case LinkEnd::closed_by_peer:
            return "the other side closed the session";
        case LinkEnd::replaced:
            return "another client attached to the system";
        case LinkEnd::unknown_session:
            return "the system has forgotten the session: it was started anew";
        case LinkEnd::version_mismatch:
            return "the other side speaks another version of the link";
        case LinkEnd::no_answer:
            return "nothing answers on the line";
        case LinkEnd::dead:
            return "the line went silent";
    }
    return "unknown";
}

LinkEndpoint::LinkEndpoint(LinkRole role, u32 epoch, const LinkTimes& times)
    : role_(role), times_(times), own_epoch_(epoch) {}

// ---- Sessions

void LinkEndpoint::connect(Nanoseconds now) {
    GRAFT_ASSERT(role_ == LinkRole::client && (state_ == LinkState::idle || state_ == LinkState::ended));
    ++own_epoch_;
    state_ = LinkState::connecting;
    end_ = LinkEnd::none;
    hello_due_ = true;
    hello_deadline_ = after(now, times_.hello_interval);
    give_up_deadline_ = after(now, times_.dead_after);
}

void LinkEndpoint::close(Nanoseconds now) {
    if (state_ == LinkState::connecting) end_session(LinkEnd::closed);
    if (state_ != LinkState::attached) return;
    state_ = LinkState::closing;
    give_up_deadline_ = after(now, times_.dead_after);
    close_deadline_ = now;
}

void LinkEndpoint::begin_session(u32 session_epoch, Nanoseconds now) {
    session_epoch_ = session_epoch;
    state_ = LinkState::attached;
    end_ = LinkEnd::none;
    restarted_ = true;
    ++statistics_.sessions;
    hello_due_ = false;
    close_due_ = false;
    hello_deadline_ = kNever;
    close_deadline_ = kNever;
    give_up_deadline_ = kNever;

    first_unacknowledged_ = 0;
    next_unsent_ = 0;
    next_new_ = 0;
    peer_limit_ = kLinkWindow;
    last_transmission_ = 0;
    lost_frames_ = 0;
    ping_due_ = false;
    peer_echo_ = 0;
    smoothed_round_trip_ = 0;
    round_trip_variation_ = 0;
    retransmit_after_ = measured_timeout();
    retransmit_deadline_ = kNever;

    for (Incoming& slot : incoming_) slot.received = false;
    next_read_ = 0;
    next_expected_ = 0;
    furthest_ = 0;
    read_offset_ = 0;
    announced_limit_ = kLinkWindow;
    own_echo_ = 0;
    ack_due_ = false;
    unacknowledged_frames_ = 0;
    ack_deadline_ = kNever;
    last_heard_ = now;
    last_ping_ = now;
}

// What has arrived stays readable; what was to be sent is forgotten.
void LinkEndpoint::end_session(LinkEnd end) {
    restarted_ = restarted_ || has_session();
    state_ = LinkState::ended;
    end_ = end;
    hello_due_ = false;
    close_due_ = false;
    ping_due_ = false;
    ack_due_ = false;
    hello_deadline_ = kNever;
    close_deadline_ = kNever;
    give_up_deadline_ = kNever;
    retransmit_deadline_ = kNever;
    ack_deadline_ = kNever;
}

bool LinkEndpoint::take_restart() {
    bool restarted = restarted_;
    restarted_ = false;
    return restarted;
}

// ---- Receiving

void LinkEndpoint::on_bytes(std::span<const std::byte> bytes, Nanoseconds now) {
    for (std::byte byte : bytes) {
        if (auto frame = decoder_.push(byte)) on_frame(*frame, now);
    }
}

void LinkEndpoint::on_frame(const Frame& frame, Nanoseconds now) {
    // A line that echoes brings one's own frames back.
    if (frame.from_server == (role_ == LinkRole::server)) {
        ++statistics_.void_frames;
        return;
    }
    switch (frame.type) {
        case FrameType::hello:
            return on_hello(frame, now);
        case FrameType::welcome:
            return on_welcome(frame, now);
        case FrameType::reset:
            return on_reset(frame);
        default:
            return on_session_frame(frame, now);
    }
}

void LinkEndpoint::on_hello(const Frame& frame, Nanoseconds now) {
    if (role_ != LinkRole::server || frame.payload.empty()) {
        ++statistics_.void_frames;
        return;
    }
    if (static_cast<u8>(frame.payload[0]) != kLinkVersion) {
        ++statistics_.void_frames;
        refuse(frame.epoch, static_cast<u8>(ResetReason::version));
        return;
    }
    // The same client again: its welcome was lost, or the line doubled the hello.
    bool is_repeated = has_session() && frame.epoch == client_epoch_;
    if (!is_repeated) {
        if (has_session()) former_session_epoch_ = session_epoch_;
        ++own_epoch_;
        client_epoch_ = frame.epoch;
        begin_session(mix_epochs(client_epoch_, own_epoch_), now);
    }
    welcome_due_ = true;
    last_heard_ = now;
}

void LinkEndpoint::on_welcome(const Frame& frame, Nanoseconds now) {
    Reader reader(frame.payload);
    u8 version = reader.read<u8>();
    u32 server_epoch = reader.read<u32>();
    bool is_ours = state_ == LinkState::connecting && frame.epoch == own_epoch_ && reader.ok();
    if (!is_ours) {
        ++statistics_.void_frames;
        return;
    }
    if (version != kLinkVersion) return end_session(LinkEnd::version_mismatch);
    begin_session(mix_epochs(own_epoch_, server_epoch), now);
}

void LinkEndpoint::on_reset(const Frame& frame) {
    if (frame.payload.empty()) return;
    u8 reason = static_cast<u8>(frame.payload[0]);
    if (state_ == LinkState::connecting && frame.epoch == own_epoch_) return end_session(end_for(reason));
    if (!has_session() || frame.epoch != session_epoch_) {
        ++statistics_.void_frames;
        return;
    }
    bool has_finished = state_ == LinkState::closing && all_delivered();
    end_session(has_finished ? LinkEnd::closed : end_for(reason));
}

void LinkEndpoint::on_close() {
    refuse(session_epoch_, static_cast<u8>(ResetReason::closed));
    end_session(state_ == LinkState::closing ? LinkEnd::closed : LinkEnd::closed_by_peer);
}

u8 LinkEndpoint::reason_for_unknown(u32 epoch) const {
    auto reason = ResetReason::unknown;
    if (state_ == LinkState::ended && epoch == session_epoch_) {
        reason = end_ == LinkEnd::dead ? ResetReason::timed_out : ResetReason::closed;
    } else if (former_session_epoch_ != 0 && epoch == former_session_epoch_) {
        reason = ResetReason::replaced;
    }
    return static_cast<u8>(reason);
}

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

// ---- Time

bool LinkEndpoint::is_blocked_by_window() const {
    return next_unsent_ != next_new_ && distance(next_unsent_, peer_limit_) <= 0;
}

bool LinkEndpoint::wants_answer() const {
    return first_unacknowledged_ != next_unsent_ || is_blocked_by_window();
}

void LinkEndpoint::rearm_retransmit(Nanoseconds now) {
    retransmit_deadline_ = wants_answer() ? after(now, retransmit_after_) : kNever;
}

void LinkEndpoint::on_time(Nanoseconds now) {
    if (state_ == LinkState::connecting) {
        if (now >= give_up_deadline_) return end_session(LinkEnd::no_answer);
        if (now >= hello_deadline_) {
            hello_due_ = true;
            hello_deadline_ = after(now, times_.hello_interval);
        }
        return;
    }
    if (!has_session()) return;
    if (now >= give_up_deadline_ || now >= after(last_heard_, times_.dead_after)) return end_session(LinkEnd::dead);
    if (now >= ack_deadline_) ack_due_ = true;
    if (now >= after(std::max(last_heard_, last_ping_), times_.ping_after)) ping_due_ = true;
    if (now >= retransmit_deadline_) {
        ping_due_ = true;
        retransmit_after_ = std::min(2 * retransmit_after_, times_.retransmit_ceiling);
        rearm_retransmit(now);
    }
    if (state_ == LinkState::closing && all_delivered() && now >= close_deadline_) {
        close_due_ = true;
        close_deadline_ = after(now, times_.hello_interval);
    }
}

Nanoseconds LinkEndpoint::next_deadline() const {
    if (state_ == LinkState::connecting) return std::min(hello_deadline_, give_up_deadline_);
    if (!has_session()) return kNever;
    Nanoseconds deadline = std::min(give_up_deadline_, after(last_heard_, times_.dead_after));
    deadline = std::min(deadline, after(std::max(last_heard_, last_ping_), times_.ping_after));
    deadline = std::min({deadline, retransmit_deadline_, ack_due_ ? kNever : ack_deadline_});
    if (state_ == LinkState::closing && all_delivered()) deadline = std::min(deadline, close_deadline_);
    return deadline;
}

// ---- Sending

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

void LinkEndpoint::refuse(u32 epoch, u8 reason) {
    refusal_due_ = true;
    refusal_epoch_ = epoch;
    refusal_reason_ = reason;
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

// ---- The stream

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
