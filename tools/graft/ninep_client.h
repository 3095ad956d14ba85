// NinepClient: the file tree of a running system, over a LinkStream, as 9P2000.u [9p].
//
// Requests may be under way in any number: submit() sends one and returns, wait() takes its answer. Everything else is
// built from these two. A request that the guest refuses is Failure{refused} with the guest's text, prefixed by the
// path. Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/ninep.h"
#include "tools/graft/link_stream.h"

namespace graft::tool {

using Tag = u16;
using Fid = u32;

// An answer, with the bytes that its views point into.
struct Reply {
    std::vector<std::byte> bytes;
    formats::ninep::Message message;

    template <typename T>
    const T* get() const {
        return std::get_if<T>(&message.body);
    }
};

struct DirectoryEntry {
    std::string name;
    bool directory = false;
    u64 length = 0;
    u32 mode = 0;
};

class NinepClient {
public:
    // Agrees on the version and attaches to the tree.
    static Outcome<std::unique_ptr<NinepClient>> attach(std::unique_ptr<LinkStream> stream);

    // -- requests
    Tag submit(const formats::ninep::Body& body);
    Outcome<Reply> wait(Tag tag);
    // Waits no longer than `until_ns` (0 = for ever): is the answer there? It stays there for wait().
    Outcome<bool> wait_until(Tag tag, u64 until_ns);
    bool is_answered(Tag tag) const { return replies_.contains(tag); }
    // Takes the answer, whenever it comes, and drops it.
    void forget(Tag tag);

    // The answer as a T; an error of the guest's, or an answer of another kind, becomes a Failure about `thing`.
    template <typename T>
    Outcome<Reply> expect(Tag tag, std::string_view thing) {
        Reply reply = GRAFT_TRY(wait(tag));
        if (reply.get<T>()) return reply;
        return fail(failure_of(reply, thing));
    }
    static Failure failure_of(const Reply& reply, std::string_view thing);

    // -- fids
    Fid new_fid();
    Tag submit_walk(Fid fid, std::string_view path);
    // Walks to `path` as a new fid, which the caller gives back with clunk().
    Outcome<Fid> walk(std::string_view path);
    Outcome<void> check_walk(const Reply& reply, std::string_view path) const;
    // Gives a fid back, without waiting.
    void clunk(Fid fid);

    // -- files
    Outcome<std::string> read_file(std::string_view path);
    // The same for any file: of one whose read at the end waits, what is there now.
    Outcome<std::string> read_snapshot(std::string_view path);
    // Short files, all at once; the order is kept. One that can't be read is nothing.
    Outcome<std::vector<std::optional<std::string>>> read_attributes(const std::vector<std::string>& paths);
    Outcome<std::vector<DirectoryEntry>> list(std::string_view path);
    Outcome<bool> exists(std::string_view path);
    // Opens for writing (making the file if it isn't there), writes and closes; an error at any of it is the answer's.
    Outcome<void> write_file(std::string_view path, std::span<const std::byte> bytes);

    using Progress = std::function<void(u64 done, u64 total)>;
    // Makes `name` in `directory`, writes, and syncs it, so that the guest's verdict is the result.
    Outcome<void> upload(std::string_view directory, std::string_view name, std::span<const std::byte> bytes,
                         const Progress& progress);

    // Writes a question to `path` and reads the answer, both through one open file.
    Outcome<std::string> ask(std::string_view path, std::span<const std::byte> bytes, const Progress& progress);

    // Data bytes that fit into one message.
    u32 chunk() const { return message_size_ - formats::ninep::kWriteOverhead; }

private:
    explicit NinepClient(std::unique_ptr<LinkStream> stream) : stream_(std::move(stream)) {}

    // The longest path that fits into one message, however many names it has.
    usize path_max() const { return message_size_ / 4; }
    Outcome<void> negotiate();
    Outcome<void> take_messages();
    Outcome<Fid> open(std::string_view path, u8 mode);
    Outcome<Fid> open_as(std::string_view path, u8 mode, bool directory);
    Outcome<Fid> create(std::string_view directory, std::string_view name);
    Outcome<std::vector<std::byte>> read_all(Fid fid, std::string_view path);
    Outcome<void> write_all(Fid fid, std::string_view path, std::span<const std::byte> bytes, const Progress& progress);
    Outcome<void> finish_writing(Fid fid, std::string_view path);

    std::unique_ptr<LinkStream> stream_;
    u32 message_size_ = 8192;
    formats::ninep::Dialect dialect_ = formats::ninep::Dialect::with_unix;
    Tag next_tag_ = 0;
    Fid next_fid_ = 1;  // 0 is the root
    std::vector<Fid> free_fids_;
    std::map<Tag, Reply> replies_;
    std::map<Tag, bool> under_way_;  // true: nobody waits for it
};

// The folder and the last name of a path: "/a/b" -> "/a", "b".
std::pair<std::string_view, std::string_view> split_path(std::string_view path);

}  // namespace graft::tool
