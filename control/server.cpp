#include "control/server.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace graft::control {

using namespace formats::ninep;

namespace {

constexpr usize kSizeField = 4;
// Room kept free beside one whole reply, for the errors that answer the waiting reads of a fid that goes.
constexpr usize kSpareOutput = Server::kMaxWaiting * 64;

}  // namespace

Server::Server(Tree& tree, const ServerLimits& limits)
    : tree_(tree),
      limits_(limits),
      quota_(limits.max_memory),
      fids_(quota_, limits.max_fids),
      max_message_(limits.max_message) {}

bool Server::allocate() {
    out_capacity_ = 2 * usize{limits_.max_message} + kSpareOutput;
    in_.reset(new (kOrNull) std::byte[limits_.max_message]);
    out_.reset(new (kOrNull) std::byte[out_capacity_]);
    return in_ && out_ && fids_.allocate();
}

void Server::reset() {
    drop_session();
    in_size_ = 0;
    in_wanted_ = 0;
    out_begin_ = 0;
    out_end_ = 0;
    has_version_ = false;
    is_broken_ = false;
    dialect_ = Dialect::plain;
    max_message_ = limits_.max_message;
}

void Server::drop_session() {
    for (WaitingRead& read : waiting_) read.in_use = false;
    for (Undecided& undecided : undecided_) undecided.in_use = false;
    fids_.clear();
    tree_.reset();
}

// ---- The stream

usize Server::receive(std::span<const std::byte> bytes) {
    usize count = 0;
    while (count < bytes.size() && !is_broken_) {
        usize wanted = in_wanted_ == 0 ? kSizeField : in_wanted_;
        if (in_size_ == wanted) {
            if (!has_room_for_reply()) return count;
            handle_message();
            continue;
        }
        usize part = std::min(bytes.size() - count, wanted - in_size_);
        std::memcpy(in_.get() + in_size_, bytes.data() + count, part);
        in_size_ += part;
        count += part;
        if (in_wanted_ == 0 && in_size_ == kSizeField) check_size();
    }
    if (is_broken_) return bytes.size();
    if (in_wanted_ != 0 && in_size_ == in_wanted_ && has_room_for_reply()) handle_message();
    return count;
}

void Server::check_size() {
    u32 size;
    std::memcpy(&size, in_.get(), sizeof(size));
    Text<128> reason;
    if (size < kHeaderSize) {
        reason.append("message size ", size, " is less than the ", kHeaderSize, " bytes of a header");
    } else if (size > max_message_) {
        reason.append("message size ", size, " exceeds the ", max_message_, " bytes agreed on");
    } else {
        in_wanted_ = size;
        return;
    }
    break_off(reason.view());
}

// Where the next message begins is unknown from here on. The spare output has room for the farewell.
void Server::break_off(std::string_view reason) {
    tree_.note(reason);
    ControlError error;
    error.number = ErrorNumber::protocol;
    error.text.assign(reason);
    send_error(kNoTag, error);
    drop_session();
    is_broken_ = true;
}

bool Server::has_room_for_reply() const {
    return out_capacity_ - (out_end_ - out_begin_) >= max_message_ + kSpareOutput;
}

void Server::compact_output() {
    if (out_begin_ == 0) return;
    std::memmove(out_.get(), out_.get() + out_begin_, out_end_ - out_begin_);
    out_end_ -= out_begin_;
    out_begin_ = 0;
}

void Server::consume_output(usize count) {
    GRAFT_ASSERT(count <= out_end_ - out_begin_);
    out_begin_ += count;
}

void Server::poll() {
    if (is_broken_) return;
    bool is_complete = in_wanted_ != 0 && in_size_ == in_wanted_;
    if (is_complete && has_room_for_reply()) handle_message();
    for (WaitingRead& waiting : waiting_) {
        if (!waiting.in_use || !has_room_for_reply()) continue;
        compact_output();
        if (read(waiting.tag, Tread{waiting.fid, waiting.offset, waiting.count})) waiting.in_use = false;
    }
    for (Undecided& undecided : undecided_) {
        if (!undecided.in_use || !has_room_for_reply()) continue;
        compact_output();
        answer_decided(undecided);
    }
}

// ---- Messages

void Server::handle_message() {
    compact_output();
    std::span<const std::byte> bytes(in_.get(), in_wanted_);
    in_size_ = 0;
    in_wanted_ = 0;
    auto message = decode(bytes, dialect_);
    if (message) return dispatch(message->tag, message->body);
    u16 tag;
    std::memcpy(&tag, bytes.data() + 5, sizeof(tag));
    ControlError error;
    error.number = ErrorNumber::protocol;
    Text<200> reason;
    reason.append("malformed message: ");
    formats::ninep::describe(message.error(), reason);
    error.text.assign(reason.view());
    tree_.note(reason.view());
    send_error(tag, error);
}

void Server::dispatch(u16 tag, const Body& request) {
    bool is_version = std::get_if<Tversion>(&request) != nullptr;
    if (!is_version && !has_version_) {
        return send_reply(tag, refuse(ErrorNumber::protocol, "no version has been agreed on"));
    }
    if (!is_version && is_waiting(tag)) {
        return send_reply(tag, refuse(ErrorNumber::protocol, "tag ", tag, " is in use"));
    }
    if (auto* request_to_read = std::get_if<Tread>(&request)) {
        if (!read(tag, *request_to_read)) keep_waiting(tag, *request_to_read);
        return;
    }
    Reply reply = answer(request);
    if (is_later(reply)) return keep_undecided(tag, request, reply.error().ticket);
    send_reply(tag, reply);
}

bool Server::is_waiting(u16 tag) const {
    auto has_tag = [&](const auto& kept) { return kept.in_use && kept.tag == tag; };
    return std::any_of(waiting_.begin(), waiting_.end(), has_tag) ||
           std::any_of(undecided_.begin(), undecided_.end(), has_tag);
}

// What was asked for goes on, also when there is no place to keep who asked.
void Server::keep_undecided(u16 tag, const Body& request, u64 ticket) {
    Undecided kept{true, tag, ticket, Type::rwstat, 0};
    if (auto* write = std::get_if<Twrite>(&request)) {
        kept.reply = Type::rwrite;
        kept.written = static_cast<u32>(write->data.size());
    } else if (std::get_if<Tclunk>(&request) != nullptr) {
        kept.reply = Type::rclunk;
    } else if (std::get_if<Tremove>(&request) != nullptr) {
        kept.reply = Type::rremove;
    }
    for (Undecided& place : undecided_) {
        if (place.in_use) continue;
        place = kept;
        return;
    }
    send_reply(tag, refuse(ErrorNumber::busy, "too many undecided requests: at most ", kMaxUndecided));
}

void Server::answer_decided(Undecided& undecided) {
    auto outcome = tree_.outcome(undecided.ticket);
    if (!outcome) return;
    undecided.in_use = false;
    if (!*outcome) return send_error(undecided.tag, outcome->error());
    switch (undecided.reply) {
        case Type::rwrite:
            return send(undecided.tag, Rwrite{undecided.written});
        case Type::rclunk:
            return send(undecided.tag, Rclunk{});
        case Type::rremove:
            return send(undecided.tag, Rremove{});
        default:
            return send(undecided.tag, Rwstat{});
    }
}

// Callers have made sure of the room.
void Server::send(u16 tag, const Body& body) {
    auto size = encode({tag, body}, dialect_, {out_.get() + out_end_, out_capacity_ - out_end_});
    if (size) out_end_ += *size;
}

void Server::send_error(u16 tag, const ControlError& error) {
    send(tag, Rerror{error.text.view(), static_cast<u32>(error.number)});
}

void Server::send_reply(u16 tag, const Reply& reply) {
    if (reply) return send(tag, *reply);
    send_error(tag, reply.error());
}

}  // namespace graft::control
