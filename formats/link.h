// LinkEndpoint: one end of the serial link, a reliable stream of bytes in both directions over a line that loses,
// doubles, damages and invents bytes, but keeps their order (docs/reference/link.md).
//
// Both ends use this class, the guest as server, the host command as client. It does no I/O and reads no clock: whoever
// owns it brings the line's bytes (on_bytes), the time (on_time, now in ns from any fixed start) and takes what is to
// be sent (bytes_to_send). It is a plain object of fixed size and allocates nothing. Not synchronised; task context.
//
// A session is one client's attachment. Its epoch is computed from two numbers, one chosen by either side, so that
// frames of a guest that rebooted meanwhile, or of a former client, belong to no session and are void.
//
//   client    idle -> connecting -> attached -> closing -> ended           connect() starts over from idle or ended
//   server    idle -> attached -> closing -> ended                         a hello from a new client: attached, from
//   any
//
// Invariants
//   I1  A data frame is sent only when the peer has announced room for it, so an honest peer drops nothing for want of
//       room.
//   I2  The line keeps order. Every transmission has a number of its own and each frame echoes the latest number
//   received;
//       hence a frame whose last transmission is not younger than the echo, and which is not acknowledged, is lost for
//       certain. Only such frames are sent again. When nothing comes back, a ping asks for an echo.
//   I3  The stream's bytes of one session never mix with another's: a new session empties both directions and is
//   announced
//       by take_restart().
#pragma once

#include <array>
#include <span>

#include "base/types.h"
#include "formats/frame.h"

namespace graft::formats {

using Nanoseconds = u64;

inline constexpr Nanoseconds kNever = ~u64{0};
inline constexpr Nanoseconds kMillisecond = 1'000'000;
inline constexpr u8 kLinkVersion = 1;
inline constexpr usize kLinkWindow = 64;  // data frames under way in one direction

enum class LinkRole : u8 { client, server };

enum class LinkState : u8 {
    idle,        // no session yet
    connecting,  // client: hello sent, no answer yet
    attached,
    closing,  // close() was called; what was written is still being delivered
    ended,    // the session is over, end() says why; what arrived before can still be read
};

enum class LinkEnd : u8 {
    none,
    closed,            // close() was called here and has been carried out
    closed_by_peer,    // the peer closed
    replaced,          // another client has attached to the server
    unknown_session,   // the server does not know the session: it rebooted
    version_mismatch,  // the server speaks another version of the link
    no_answer,         // nothing answered the hello
    dead,              // no valid frame for longer than the peer may be silent
};

// A sentence for people, lower case, without full stop.
const char* describe(LinkEnd end);

struct LinkTimes {
    Nanoseconds retransmit_floor = 50 * kMillisecond;
    Nanoseconds retransmit_ceiling = 1000 * kMillisecond;
    Nanoseconds hello_interval = 250 * kMillisecond;
    Nanoseconds ack_delay = 2 * kMillisecond;
    Nanoseconds ping_after = 1000 * kMillisecond;  // of silence
    Nanoseconds dead_after = 10'000 * kMillisecond;
};

struct LinkStatistics {
    u64 frames_sent = 0;
    u64 frames_received = 0;  // valid ones of the session
    u64 data_sent_again = 0;
    u64 duplicates = 0;     // data frames received twice
    u64 void_frames = 0;    // of another session, direction or version
    u64 beyond_window = 0;  // data frames that the sender had no leave to send
    u64 pings_sent = 0;
    u64 sessions = 0;
};

class LinkEndpoint {
public:
    // `epoch` is unlikely to have been used before on this line: a random or a boot-time number.
    LinkEndpoint(LinkRole role, u32 epoch, const LinkTimes& times = {});
    LinkEndpoint(const LinkEndpoint&) = delete;
    LinkEndpoint& operator=(const LinkEndpoint&) = delete;

    // Client: opens a session; allowed when idle or ended (asserted). The epoch grows with each call.
    void connect(Nanoseconds now);
    // Delivers what was written, then ends the session. Without a session nothing happens.
    void close(Nanoseconds now);

    void on_bytes(std::span<const std::byte> bytes, Nanoseconds now);
    void on_time(Nanoseconds now);
    // When on_time() is to be called next, or kNever. Whatever can be sent at once is not part of it: call
    // bytes_to_send() until it gives nothing.
    Nanoseconds next_deadline() const;
    // Fills `out` with the next bytes for the line and returns their number; 0 means there is nothing to send now. The
    // caller paces the line by the size of `out`: every byte given must be sent.
    usize bytes_to_send(std::span<std::byte> out, Nanoseconds now);

    // Takes as many bytes as there is room for; 0 outside a session.
    usize write(std::span<const std::byte> bytes);
    // The next bytes of the stream, in order; 0 when there are none yet.
    usize read(std::span<std::byte> out);
    bool can_read() const;
    // True when everything written has been acknowledged.
    bool all_delivered() const { return first_unacknowledged_ == next_new_; }

    // True once after each begin and each end of a session: whatever belongs to the former one is to be forgotten.
    bool take_restart();

    LinkState state() const { return state_; }
    LinkEnd end() const { return end_; }
    const LinkStatistics& statistics() const { return statistics_; }
    const FrameStatistics& frame_statistics() const { return decoder_.statistics(); }

private:
    struct Outgoing {
        enum class Progress : u8 { fresh, sent, lost, received };
        Progress progress = Progress::fresh;
        u8 length = 0;
        u16 transmission = 0;
        std::array<std::byte, kFramePayloadMax> bytes;
    };
    struct Incoming {
        bool received = false;
        u8 length = 0;
        std::array<std::byte, kFramePayloadMax> bytes;
    };

    bool has_session() const { return state_ == LinkState::attached || state_ == LinkState::closing; }
    Outgoing& outgoing(u16 sequence) { return outgoing_[sequence % kLinkWindow]; }
    Incoming& incoming(u16 sequence) { return incoming_[sequence % kLinkWindow]; }
    const Incoming& incoming(u16 sequence) const { return incoming_[sequence % kLinkWindow]; }

    void begin_session(u32 session_epoch, Nanoseconds now);
    void end_session(LinkEnd end);

    void on_frame(const Frame& frame, Nanoseconds now);
    void on_hello(const Frame& frame, Nanoseconds now);
    void on_welcome(const Frame& frame, Nanoseconds now);
    void on_reset(const Frame& frame);
    void on_close();
    void on_session_frame(const Frame& frame, Nanoseconds now);
    void on_data(const Frame& frame, Nanoseconds now);
    void owe_ack(Nanoseconds now, bool at_once);
    bool take_acknowledgement(const Frame& frame);
    bool take_bitmap(const Frame& frame);
    void find_losses(u16 echo);
    void take_echo(const Frame& frame, Nanoseconds now);
    void measure_round_trip(Nanoseconds sample);

    bool has_hole() const;
    u64 received_bitmap() const;
    u8 receive_window() const;
    bool is_blocked_by_window() const;
    bool wants_answer() const;
    void rearm_retransmit(Nanoseconds now);
    Nanoseconds measured_timeout() const;
    void refuse(u32 epoch, u8 reason);
    u8 reason_for_unknown(u32 epoch) const;

    bool compose_next(Nanoseconds now);
    bool compose_handshake();
    bool compose_data(Nanoseconds now);
    void compose_one_data(u16 sequence, Nanoseconds now);
    void compose_ack();
    void compose_ping(Nanoseconds now);
    Frame session_frame(FrameType type) const;
    void compose(const Frame& frame);
    void note_acknowledged();
    u16 number_transmission(Nanoseconds now);

    const LinkRole role_;
    const LinkTimes times_;
    u32 own_epoch_;
    u32 client_epoch_ = 0;  // server: of the session's client
    u32 session_epoch_ = 0;
    u32 former_session_epoch_ = 0;  // server: of the session that a new client replaced
    LinkState state_ = LinkState::idle;
    LinkEnd end_ = LinkEnd::none;
    bool restarted_ = false;

    // Handshake frames that wait to be sent.
    bool hello_due_ = false;
    bool welcome_due_ = false;
    bool close_due_ = false;
    bool refusal_due_ = false;
    u8 refusal_reason_ = 0;
    u32 refusal_epoch_ = 0;
    Nanoseconds hello_deadline_ = kNever;
    Nanoseconds close_deadline_ = kNever;
    Nanoseconds give_up_deadline_ = kNever;

    // Sending: first_unacknowledged_ <= next_unsent_ <= next_new_ <= first_unacknowledged_ + kLinkWindow. Frames from
    // next_unsent_ on have never been sent; the last of them may still be filled.
    std::array<Outgoing, kLinkWindow> outgoing_;
    u16 first_unacknowledged_ = 0;
    u16 next_unsent_ = 0;
    u16 next_new_ = 0;
    u16 peer_limit_ = 0;  // the first sequence number that the peer has no room for
    u16 last_transmission_ = 0;
    unsigned lost_frames_ = 0;
    bool ping_due_ = false;
    u16 peer_echo_ = 0;
    std::array<Nanoseconds, kLinkWindow> sent_at_{};  // by transmission number, for measuring round trips
    Nanoseconds smoothed_round_trip_ = 0;
    Nanoseconds round_trip_variation_ = 0;
    Nanoseconds retransmit_after_ = 0;
    Nanoseconds retransmit_deadline_ = kNever;

    // Receiving: next_expected_ - next_read_ frames lie ready, frames behind a hole are marked in their slots.
    std::array<Incoming, kLinkWindow> incoming_;
    u16 next_read_ = 0;
    u16 next_expected_ = 0;
    u16 furthest_ = 0;  // one past the furthest frame received
    usize read_offset_ = 0;
    u16 announced_limit_ = 0;
    u16 own_echo_ = 0;
    bool ack_due_ = false;
    unsigned unacknowledged_frames_ = 0;
    Nanoseconds ack_deadline_ = kNever;
    Nanoseconds last_heard_ = 0;
    Nanoseconds last_ping_ = 0;

    FrameDecoder decoder_;
    std::array<std::byte, kFrameWireMax> wire_{};
    usize wire_length_ = 0;
    usize wire_sent_ = 0;
    LinkStatistics statistics_;
};

}  // namespace graft::formats
