#include "formats/link.h"

#include <algorithm>

#include "base/assert.h"
#include "base/reader.h"
#include "formats/link_parts.h"

namespace graft::formats {

namespace {

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

// ---- Frames of no session, or that make one

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

void LinkEndpoint::refuse(u32 epoch, u8 reason) {
    refusal_due_ = true;
    refusal_epoch_ = epoch;
    refusal_reason_ = reason;
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

}  // namespace graft::formats
