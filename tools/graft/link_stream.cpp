#include "tools/graft/link_stream.h"

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

namespace graft::tool {
namespace {

using formats::LinkEnd;
using formats::LinkState;

// How long a client that leaves waits for the guest to take note of it.
constexpr Milliseconds kCloseLimit{500};
constexpr usize kLineChunk = 4096;

u32 fresh_epoch() {
    u32 epoch = 0;
    if (::getrandom(&epoch, sizeof(epoch), 0) != sizeof(epoch)) epoch = static_cast<u32>(now_ns());
    return epoch;
}

// A line that is closed at the other end is an error to be told, not a signal to die of.
ssize_t write_quietly(int fd, std::span<const std::byte> bytes) {
    ssize_t count = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    bool is_socket = count >= 0 || errno != ENOTSOCK;
    return is_socket ? count : ::write(fd, bytes.data(), bytes.size());
}

// Drops the part of a buffer that has been dealt with, without moving bytes at every call.
void compact(std::vector<std::byte>& buffer, usize& done) {
    if (done < buffer.size() && done < kLineChunk) return;
    buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(done));
    done = 0;
}

}  // namespace

LinkStream::LinkStream(UniqueFd fd, std::string name, const Deadline& deadline)
    : fd_(std::move(fd)),
      name_(std::move(name)),
      deadline_(deadline),
      link_(formats::LinkRole::client, fresh_epoch()) {}

LinkStream::~LinkStream() {
    close();
}

Outcome<std::unique_ptr<LinkStream>> LinkStream::attach(const Connect& connect, const Deadline& deadline) {
    UniqueFd fd = GRAFT_TRY(open_connection(connect, deadline));
    std::unique_ptr<LinkStream> stream(new LinkStream(std::move(fd), connect.text(), deadline));
    GRAFT_CHECK(stream->await_attachment());
    return stream;
}

Outcome<void> LinkStream::await_attachment() {
    link_.connect(now_ns());
    while (link_.state() == LinkState::connecting) GRAFT_CHECK(step(0));
    (void)link_.take_restart();
    return check_session();
}

void LinkStream::send(std::span<const std::byte> bytes) {
    outbox_.insert(outbox_.end(), bytes.begin(), bytes.end());
}

std::span<const std::byte> LinkStream::received() const {
    return std::span(inbox_).subspan(inbox_consumed_);
}

void LinkStream::consume(usize count) {
    inbox_consumed_ += std::min(count, inbox_.size() - inbox_consumed_);
    compact(inbox_, inbox_consumed_);
}

Outcome<bool> LinkStream::pump(u64 until_ns) {
    usize before = received().size();
    for (;;) {
        GRAFT_CHECK(step(until_ns));
        if (received().size() != before) return true;
        // A session that has ended may still hold bytes that came before its end: they are handed out first.
        GRAFT_CHECK(check_session());
        if (until_ns != 0 && now_ns() >= until_ns) return false;
    }
}

// One round: link to line, wait, line to link.
Outcome<void> LinkStream::step(u64 until_ns) {
    feed_link();
    GRAFT_CHECK(write_line());
    if (take_from_link()) return {};

    if (deadline_.passed()) return timed_out(fmt::format("{}: the time given was not enough", name_));
    pollfd waiting{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    if (line_written_ < line_out_.size()) waiting.events |= POLLOUT;
    u64 wake = std::min(until_ns == 0 ? formats::kNever : until_ns, link_.next_deadline());
    if (::poll(&waiting, 1, deadline_.poll_timeout(wake == formats::kNever ? 0 : std::max<u64>(wake, 1))) < 0 &&
        errno != EINTR)
        return fail(system_failure(ExitCode::no_connection, name_));
    if (waiting.revents & (POLLIN | POLLHUP | POLLERR)) GRAFT_CHECK(read_line());
    link_.on_time(now_ns());
    take_from_link();
    return {};
}

void LinkStream::feed_link() {
    if (unsent() == 0) return;
    outbox_taken_ += link_.write(std::span(outbox_).subspan(outbox_taken_));
    compact(outbox_, outbox_taken_);
}

bool LinkStream::take_from_link() {
    bool any = false;
    std::array<std::byte, kLineChunk> chunk;
    while (usize count = link_.read(chunk)) {
        inbox_.insert(inbox_.end(), chunk.begin(), chunk.begin() + count);
        any = true;
    }
    return any;
}

Outcome<void> LinkStream::write_line() {
    for (;;) {
        if (line_written_ == line_out_.size()) {
            line_out_.resize(kLineChunk);
            line_out_.resize(link_.bytes_to_send(line_out_, now_ns()));
            line_written_ = 0;
            if (line_out_.empty()) return {};
        }
        ssize_t count = write_quietly(fd_.get(), std::span(line_out_).subspan(line_written_));
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return {};
        if (count < 0 && errno == EPIPE) return closed();
        if (count < 0) return fail(system_failure(ExitCode::no_connection, name_));
        line_written_ += static_cast<usize>(count);
    }
}

Outcome<void> LinkStream::read_line() {
    std::array<std::byte, kLineChunk> chunk;
    ssize_t count = ::read(fd_.get(), chunk.data(), chunk.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (count < 0) return fail(system_failure(ExitCode::no_connection, name_));
    if (count == 0) return closed();
    link_.on_bytes(std::span(chunk).first(static_cast<usize>(count)), now_ns());
    return {};
}

std::unexpected<Failure> LinkStream::closed() const {
    return no_connection(fmt::format("{}: closed at the other end; the machine has ended", name_));
}

Outcome<void> LinkStream::check_session() const {
    if (link_.state() != LinkState::ended && link_.state() != LinkState::idle) return {};
    if (link_.end() == LinkEnd::no_answer)
        return no_connection(
            fmt::format("{}: nobody answers; the guest isn't up, or another client is attached", name_));
    return no_connection(fmt::format("{}: {}", name_, formats::describe(link_.end())));
}

// Says goodbye, so that the guest drops what belongs to this client now and not when the line has been silent for long.
void LinkStream::close() {
    if (link_.state() != LinkState::attached) return;
    deadline_ = Deadline::after(kCloseLimit);
    link_.close(now_ns());
    while (link_.state() == LinkState::closing) {
        if (!step(0)) return;
        consume(received().size());
    }
    (void)write_line();
}

}  // namespace graft::tool
