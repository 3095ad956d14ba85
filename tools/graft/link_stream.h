// LinkStream: the client's end of the serial link over a file descriptor, driven by poll(). It attaches to the guest,
// then carries a stream of bytes both ways until it is closed or the session ends; after a failure it stays failed.
//
// Nothing is sent or received outside pump(): whoever waits for an answer calls it until the answer is there.
// Not thread-safe.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "formats/link.h"
#include "tools/graft/connect.h"
#include "tools/graft/deadline.h"
#include "tools/graft/failure.h"

namespace graft::tool {

class LinkStream {
public:
    // Opens the line and attaches. Fails with no_connection when nothing answers, timed_out at the deadline.
    static Outcome<std::unique_ptr<LinkStream>> attach(const Connect& connect, const Deadline& deadline);
    ~LinkStream();
    LinkStream(const LinkStream&) = delete;
    LinkStream& operator=(const LinkStream&) = delete;

    // Queues bytes for the guest; sent by pump().
    void send(std::span<const std::byte> bytes);
    // Bytes that wait to be taken by the link: a measure for "enough is under way".
    usize unsent() const { return outbox_.size() - outbox_taken_; }

    // Moves what can be moved, waiting for the line if nothing can, until more has been received (true) or the moment
    // `until_ns` has come (false; 0 = never).
    Outcome<bool> pump(u64 until_ns = 0);
    // What has been received and not consumed.
    std::span<const std::byte> received() const;
    void consume(usize count);

    const formats::LinkEndpoint& link() const { return link_; }

private:
    LinkStream(UniqueFd fd, std::string name, const Deadline& deadline);

    Outcome<void> await_attachment();
    Outcome<void> step(u64 until_ns);
    void feed_link();
    bool take_from_link();
    Outcome<void> write_line();
    Outcome<void> read_line();
    std::unexpected<Failure> closed() const;
    Outcome<void> check_session() const;
    void close();

    UniqueFd fd_;
    std::string name_;
    Deadline deadline_;
    formats::LinkEndpoint link_;
    std::vector<std::byte> outbox_;
    usize outbox_taken_ = 0;
    std::vector<std::byte> inbox_;
    usize inbox_consumed_ = 0;
    std::vector<std::byte> line_out_;  // bytes the link has given, not yet written
    usize line_written_ = 0;
};

}  // namespace graft::tool
