// CONNECT: where the other end of the serial link is found, and how to get there.
//
//   serial:PATH      a tty or pty, set to raw, 115200 baud
//   unix:PATH        a socket, as QEMU's chardev offers it; a path that begins with '@' is an abstract name
//   tcp:HOST[:PORT]  the same over TCP, port 5640 unless given; an IPv6 address stands in brackets
#pragma once

#include <string>
#include <string_view>

#include "tools/graft/deadline.h"
#include "tools/graft/failure.h"
#include "tools/graft/unique_fd.h"

namespace graft::tool {

struct Connect {
    enum class Kind { serial, unix_socket, tcp };
    Kind kind;
    std::string path;  // serial, unix_socket
    std::string host;  // tcp
    std::string port;

    std::string text() const;
};

Outcome<Connect> parse_connect(std::string_view text);

// A non-blocking descriptor to the other end. Fails with no_connection, or timed_out at the deadline.
Outcome<UniqueFd> open_connection(const Connect& connect, const Deadline& deadline);

// A listening socket at a unix or tcp address (for `run --control`). A stale socket file is replaced, any other file
// not.
Outcome<UniqueFd> listen_at(const Connect& connect);

}  // namespace graft::tool
