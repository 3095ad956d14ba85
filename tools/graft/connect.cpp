#include "tools/graft/connect.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include <fmt/format.h>

namespace graft::tool {
namespace {

constexpr std::string_view kDefaultPort = "5640";  // the usual port of a control service [9p]

Outcome<Connect> parse_tcp(std::string_view rest) {
    Connect connect{.kind = Connect::Kind::tcp, .path = {}, .host = {}, .port = std::string(kDefaultPort)};
    usize host_end = rest.rfind(':');
    if (rest.starts_with('[')) {
        usize bracket = rest.find(']');
        if (bracket == std::string_view::npos) return misused(fmt::format("tcp:{}: ']' is missing", rest));
        connect.host = rest.substr(1, bracket - 1);
        host_end = bracket + 1 < rest.size() ? bracket + 1 : std::string_view::npos;
        if (host_end != std::string_view::npos && rest[host_end] != ':')
            return misused(fmt::format("tcp:{}: expected ':PORT' after ']'", rest));
    } else {
        connect.host = rest.substr(0, host_end);
    }
    if (host_end != std::string_view::npos) connect.port = rest.substr(host_end + 1);
    if (connect.host.empty() || connect.port.empty())
        return misused(fmt::format("tcp:{}: expected tcp:HOST[:PORT]", rest));
    return connect;
}

struct UnixAddress {
    sockaddr_un address{};
    socklen_t length = 0;
};

Outcome<UnixAddress> unix_address(const std::string& path) {
    UnixAddress result;
    result.address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(result.address.sun_path))
        return misused(fmt::format("unix:{}: path is {} bytes long, at most {} fit into a socket address", path,
                                   path.size(), sizeof(result.address.sun_path) - 1));
    std::memcpy(result.address.sun_path, path.data(), path.size());
    if (path.starts_with('@')) result.address.sun_path[0] = 0;
    // An abstract name ends with the address; a path with the NUL that is already there.
    result.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (path[0] == '@' ? 0 : 1));
    return result;
}

Outcome<UniqueFd> open_serial(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    if (!fd) return fail(system_failure(ExitCode::no_connection, "serial:" + path));
    termios settings{};
    if (::tcgetattr(fd.get(), &settings) != 0) return fail(system_failure(ExitCode::no_connection, "serial:" + path));
    ::cfmakeraw(&settings);
    settings.c_cflag |= CLOCAL | CREAD;
    settings.c_cflag &= ~static_cast<tcflag_t>(CRTSCTS);
    ::cfsetspeed(&settings, B115200);
    if (::tcsetattr(fd.get(), TCSANOW, &settings) != 0)
        return fail(system_failure(ExitCode::no_connection, "serial:" + path));
    ::tcflush(fd.get(), TCIOFLUSH);
    return fd;
}

// Waits until a connect() under way has ended; then errno-style: 0 or the error.
Outcome<int> connect_result(int fd, const std::string& name, const Deadline& deadline) {
    for (;;) {
        pollfd waiting{.fd = fd, .events = POLLOUT, .revents = 0};
        int ready = ::poll(&waiting, 1, deadline.poll_timeout());
        if (ready > 0) break;
        if (deadline.passed()) return timed_out(fmt::format("{}: no connection within the given time", name));
    }
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

Outcome<UniqueFd> connect_socket(int family, const sockaddr* address, socklen_t length, const std::string& name,
                                 const Deadline& deadline) {
    UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail(system_failure(ExitCode::no_connection, name));
    if (::connect(fd.get(), address, length) == 0) return fd;
    if (errno == EAGAIN) return no_connection(name + ": busy, other clients are waiting for it");
    if (errno != EINPROGRESS) return fail(system_failure(ExitCode::no_connection, name));
    errno = GRAFT_TRY(connect_result(fd.get(), name, deadline));
    if (errno != 0) return fail(system_failure(ExitCode::no_connection, name));
    return fd;
}

struct AddressListDeleter {
    void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, AddressListDeleter>;

Outcome<AddressList> resolve(const Connect& connect, int flags) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    addrinfo* list = nullptr;
    int error = ::getaddrinfo(connect.host.c_str(), connect.port.c_str(), &hints, &list);
    if (error != 0) return no_connection(fmt::format("{}: {}", connect.text(), ::gai_strerror(error)));
    return AddressList(list);
}

Outcome<UniqueFd> connect_tcp(const Connect& connect, const Deadline& deadline) {
    AddressList list = GRAFT_TRY(resolve(connect, 0));
    Failure last{ExitCode::no_connection, connect.text() + ": no address"};
    for (addrinfo* entry = list.get(); entry; entry = entry->ai_next) {
        auto fd = connect_socket(entry->ai_family, entry->ai_addr, entry->ai_addrlen, connect.text(), deadline);
        if (!fd) {
            last = fd.error();
            continue;
        }
        int on = 1;
        ::setsockopt(fd->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        return fd;
    }
    return fail(std::move(last));
}

Outcome<UniqueFd> listen_unix(const Connect& connect) {
    UnixAddress address = GRAFT_TRY(unix_address(connect.path));
    if (open_connection(connect, Deadline())) return refused(connect.text() + ": in use");
    struct stat status{};
    bool stale = ::stat(connect.path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
    if (stale) ::unlink(connect.path.c_str());
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address.address), address.length) != 0 ||
        ::listen(fd.get(), 4) != 0)
        return fail(system_failure(ExitCode::refused, connect.text()));
    return fd;
}

Outcome<UniqueFd> listen_tcp(const Connect& connect) {
    AddressList list = GRAFT_TRY(resolve(connect, AI_PASSIVE));
    UniqueFd fd(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int on = 1;
    if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        ::bind(fd.get(), list->ai_addr, list->ai_addrlen) != 0 || ::listen(fd.get(), 4) != 0)
        return fail(system_failure(ExitCode::refused, connect.text()));
    return fd;
}

}  // namespace

std::string Connect::text() const {
    switch (kind) {
        case Kind::serial:
            return "serial:" + path;
        case Kind::unix_socket:
            return "unix:" + path;
        case Kind::tcp:
            break;
    }
    bool bracketed = host.find(':') != std::string::npos;
    return bracketed ? fmt::format("tcp:[{}]:{}", host, port) : fmt::format("tcp:{}:{}", host, port);
}

Outcome<Connect> parse_connect(std::string_view text) {
    usize colon = text.find(':');
    std::string_view scheme = text.substr(0, colon);
    std::string_view rest = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
    if (!rest.empty() && scheme == "serial")
        return Connect{.kind = Connect::Kind::serial, .path = std::string(rest), .host = {}, .port = {}};
    if (!rest.empty() && scheme == "unix")
        return Connect{.kind = Connect::Kind::unix_socket, .path = std::string(rest), .host = {}, .port = {}};
    if (!rest.empty() && scheme == "tcp") return parse_tcp(rest);
    return misused(fmt::format("'{}': expected serial:PATH, unix:PATH or tcp:HOST[:PORT]", text));
}

Outcome<UniqueFd> open_connection(const Connect& connect, const Deadline& deadline) {
    switch (connect.kind) {
        case Connect::Kind::serial:
            return open_serial(connect.path);
        case Connect::Kind::tcp:
            return connect_tcp(connect, deadline);
        case Connect::Kind::unix_socket:
            break;
    }
    UnixAddress address = GRAFT_TRY(unix_address(connect.path));
    return connect_socket(AF_UNIX, reinterpret_cast<sockaddr*>(&address.address), address.length, connect.text(),
                          deadline);
}

Outcome<UniqueFd> listen_at(const Connect& connect) {
    switch (connect.kind) {
        case Connect::Kind::unix_socket:
            return listen_unix(connect);
        case Connect::Kind::tcp:
            return listen_tcp(connect);
        case Connect::Kind::serial:
            break;
    }
    return misused(connect.text() + ": nobody can listen at a serial line");
}

}  // namespace graft::tool
