// Single 9P requests to a running guest, a line each on standard input, and the answer to each on standard output, so
// that a test can hold files open while what they belong to goes away.
//
//   open NAME read|write PATH    walks and opens; NAME stands for the fid from then on
//   read NAME                    -> ok TEXT (backslash-n for a line's end); at most one message of it
//   write NAME TEXT              -> ok; a \n ends TEXT for the guest
//   load FILE NAME.klp           uploads the patch FILE
//   stat NAME, remove NAME, clunk NAME, walk PATH
//   -> ok …, or error TEXT with the guest's own words
//
// usage: fids CONNECT
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "tools/graft/ninep_client.h"

namespace {

using namespace graft::tool;
namespace ninep = graft::formats::ninep;
using graft::u8;

constexpr graft::u32 kReadMax = 4096;

std::string printable(std::span<const std::byte> data) {
    std::string text;
    for (std::byte byte : data) {
        if (byte == std::byte{'\n'})
            text += "\\n";
        else
            text += static_cast<char>(byte);
    }
    return text;
}

class Fids {
public:
    explicit Fids(NinepClient& client) : client_(client) {}

    Outcome<std::string> run(const std::string& line) {
        std::istringstream words(line);
        std::string verb;
        std::string name;
        words >> verb >> name;
        std::string rest;
        std::getline(words >> std::ws, rest);
        if (verb == "walk") return walk(name);
        if (verb == "open") return open(name, rest);
        if (verb == "load") return load(name, rest);
        auto fid = fids_.find(name);
        if (fid == fids_.end()) return misused(fmt::format("{}: no such name", name));
        if (verb == "read") return read(fid->second);
        if (verb == "write") return write(fid->second, rest + "\n");
        if (verb == "stat") return simply<ninep::Rstat>(ninep::Tstat{fid->second});
        if (verb == "remove") return simply<ninep::Rremove>(ninep::Tremove{fid->second});
        if (verb == "clunk") return simply<ninep::Rclunk>(ninep::Tclunk{fid->second});
        return misused(fmt::format("{}: no such request", verb));
    }

private:
    template <typename T>
    Outcome<std::string> simply(const ninep::Body& body) {
        GRAFT_TRY(client_.expect<T>(client_.submit(body), ""));
        return std::string{};
    }

    Outcome<std::string> walk(const std::string& path) {
        client_.clunk(GRAFT_TRY(client_.walk(path)));
        return std::string{};
    }

    Outcome<std::string> open(const std::string& name, const std::string& how) {
        std::istringstream words(how);
        std::string mode;
        std::string path;
        words >> mode >> path;
        Fid fid = GRAFT_TRY(client_.walk(path));
        u8 wanted = mode == "write" ? ninep::kOpenWrite : ninep::kOpenRead;
        GRAFT_TRY(client_.expect<ninep::Ropen>(client_.submit(ninep::Topen{fid, wanted}), path));
        fids_[name] = fid;
        return std::string{};
    }

    Outcome<std::string> load(const std::string& file, const std::string& name) {
        std::ifstream stream(file, std::ios::binary);
        std::string content{std::istreambuf_iterator<char>(stream), {}};
        GRAFT_CHECK(client_.upload("/livepatch", name, std::as_bytes(std::span(content)), {}));
        return std::string{};
    }

    Outcome<std::string> read(Fid fid) {
        Reply reply = GRAFT_TRY(client_.expect<ninep::Rread>(client_.submit(ninep::Tread{fid, 0, kReadMax}), "read"));
        return printable(reply.get<ninep::Rread>()->data);
    }

    Outcome<std::string> write(Fid fid, const std::string& text) {
        auto bytes = std::as_bytes(std::span(text));
        GRAFT_TRY(client_.expect<ninep::Rwrite>(client_.submit(ninep::Twrite{fid, 0, bytes}), "write"));
        return std::string{};
    }

    NinepClient& client_;
    std::map<std::string, Fid> fids_;
};

Outcome<void> serve(const char* where) {
    Connect connect = GRAFT_TRY(parse_connect(where));
    std::unique_ptr<LinkStream> stream = GRAFT_TRY(LinkStream::attach(connect, Deadline{}));
    std::unique_ptr<NinepClient> client = GRAFT_TRY(NinepClient::attach(std::move(stream)));
    Fids fids(*client);
    fmt::print("ok attached\n");
    std::fflush(stdout);
    for (std::string line; std::getline(std::cin, line);) {
        auto answer = fids.run(line);
        fmt::print("{} {}\n", answer ? "ok" : "error", answer ? *answer : answer.error().text);
        std::fflush(stdout);
    }
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: fids CONNECT\n");
        return 2;
    }
    auto served = serve(argv[1]);
    if (served) return 0;
    fmt::print(stderr, "fids: {}\n", served.error().text);
    return 1;
}
