#include "tools/graft/ninep_client.h"

#include <algorithm>
#include <cstring>
#include <deque>

#include <fmt/format.h>

#include "base/assert.h"

namespace graft::tool {

using namespace formats::ninep;

namespace {

constexpr Fid kRoot = 0;
constexpr usize kWritesUnderWay = 8;  // enough to keep the line busy while an answer travels
constexpr usize kAttributesUnderWay = 16;
constexpr u32 kAttributeSize = 1024;

std::string text_of(const CodecError& error) {
    Text<256> text;
    describe(error, text);
    return std::string(text.view());
}

std::vector<std::string_view> names_of(std::string_view path) {
    std::vector<std::string_view> names;
    while (!path.empty()) {
        usize end = std::min(path.find('/'), path.size());
        if (end != 0 && path.substr(0, end) != ".") names.push_back(path.substr(0, end));
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    return names;
}

}  // namespace

std::pair<std::string_view, std::string_view> split_path(std::string_view path) {
    while (path.ends_with('/')) path.remove_suffix(1);
    usize slash = path.rfind('/');
    if (slash == std::string_view::npos) return {"/", path};
    return {path.substr(0, std::max<usize>(slash, 1)), path.substr(slash + 1)};
}

// ---- requests -------------------------------------------------------------------------------------------------------

Outcome<std::unique_ptr<NinepClient>> NinepClient::attach(std::unique_ptr<LinkStream> stream) {
    std::unique_ptr<NinepClient> client(new NinepClient(std::move(stream)));
    GRAFT_CHECK(client->negotiate());
    Tag tag = client->submit(Tattach{.fid = kRoot, .auth_fid = kNoFid, .user = "graft", .tree = ""});
    (void)GRAFT_TRY(client->expect<Rattach>(tag, "attach"));
    return client;
}

Outcome<void> NinepClient::negotiate() {
    Tag tag = submit(Tversion{.msize = message_size_, .version = kVersion9P2000u});
    Reply reply = GRAFT_TRY(expect<Rversion>(tag, "version"));
    const auto& version = *reply.get<Rversion>();
    if (version.version != kVersion9P2000u)
        return no_connection(fmt::format("the guest speaks '{}', this command {}", version.version, kVersion9P2000u));
    if (version.msize < kMinMessageSize || version.msize > message_size_)
        return no_connection(fmt::format("the guest wants messages of {} bytes; possible are {} to {}", version.msize,
                                         kMinMessageSize, message_size_));
    message_size_ = version.msize;
    return {};
}

Tag NinepClient::submit(const Body& body) {
    Tag tag = kNoTag;  // Tversion alone has no tag of its own
    if (!std::holds_alternative<Tversion>(body)) {
        while (under_way_.contains(next_tag_) || replies_.contains(next_tag_) || next_tag_ == kNoTag) ++next_tag_;
        tag = next_tag_++;
    }
    std::vector<std::byte> bytes(message_size_);
    auto size = encode(Message{.tag = tag, .body = body}, dialect_, bytes);
    GRAFT_ASSERT(size.has_value());  // whoever composes a request keeps it within the message size
    stream_->send(std::span(bytes).first(*size));
    under_way_[tag] = false;
    return tag;
}

// Takes the whole messages that have arrived.
Outcome<void> NinepClient::take_messages() {
    for (;;) {
        std::span<const std::byte> received = stream_->received();
        u32 size = 0;
        if (received.size() < sizeof(size)) return {};
        std::memcpy(&size, received.data(), sizeof(size));
        if (size < kHeaderSize || size > message_size_)
            return no_connection(fmt::format("the guest sent a message of {} bytes; possible are {} to {}", size,
                                             kHeaderSize, message_size_));
        if (received.size() < size) return {};
        Reply reply;
        reply.bytes.assign(received.begin(), received.begin() + size);
        stream_->consume(size);
        auto message = decode(reply.bytes, dialect_);
        if (!message) return no_connection("the guest sent a malformed message: " + text_of(message.error()));
        reply.message = *message;
        auto found = under_way_.find(message->tag);
        if (found == under_way_.end())
            return no_connection(fmt::format("the guest answered a request that wasn't made (tag {})", message->tag));
        bool forgotten = found->second;
        under_way_.erase(found);
        if (!forgotten) replies_.emplace(message->tag, std::move(reply));
    }
}

Outcome<bool> NinepClient::wait_until(Tag tag, u64 until_ns) {
    for (;;) {
        GRAFT_CHECK(take_messages());
        if (is_answered(tag)) return true;
        if (!GRAFT_TRY(stream_->pump(until_ns))) return false;
    }
}

Outcome<Reply> NinepClient::wait(Tag tag) {
    (void)GRAFT_TRY(wait_until(tag, 0));
    auto found = replies_.find(tag);
    Reply reply = std::move(found->second);
    replies_.erase(found);
    return reply;
}

void NinepClient::forget(Tag tag) {
    if (auto found = under_way_.find(tag); found != under_way_.end()) found->second = true;
    replies_.erase(tag);
}

Failure NinepClient::failure_of(const Reply& reply, std::string_view thing) {
    const auto* error = reply.get<Rerror>();
    if (!error) return {ExitCode::no_connection, fmt::format("{}: the guest answered with something else", thing)};
    // Most texts name the thing themselves.
    bool named = thing.empty() || error->text.find(split_path(thing).second) != std::string_view::npos;
    return {ExitCode::refused, named ? std::string(error->text) : fmt::format("{}: {}", thing, error->text)};
}

// ---- fids -----------------------------------------------------------------------------------------------------------

Fid NinepClient::new_fid() {
    if (free_fids_.empty()) return next_fid_++;
    Fid fid = free_fids_.back();
    free_fids_.pop_back();
    return fid;
}

Tag NinepClient::submit_walk(Fid fid, std::string_view path) {
    std::vector<std::string_view> names = names_of(path);
    Twalk walk{.fid = kRoot, .new_fid = fid, .count = 0, .names = {}};
    for (std::string_view name : names) {
        if (walk.count < kMaxWalk) walk.names[walk.count++] = name;
    }
    return submit(walk);
}

Outcome<void> NinepClient::check_walk(const Reply& reply, std::string_view path) const {
    const auto* walked = reply.get<Rwalk>();
    if (!walked) return fail(failure_of(reply, path));
    if (walked->count == names_of(path).size()) return {};
    return refused(fmt::format("{}: does not exist", path));
}

Outcome<Fid> NinepClient::walk(std::string_view path) {
    if (path.size() > path_max()) return refused(fmt::format("path of {} bytes: at most {}", path.size(), path_max()));
    if (names_of(path).size() > kMaxWalk) return refused(fmt::format("{}: more than {} names", path, kMaxWalk));
    Fid fid = new_fid();
    Reply reply = GRAFT_TRY(wait(submit_walk(fid, path)));
    auto walked = check_walk(reply, path);
    if (walked) return fid;
    free_fids_.push_back(fid);  // a walk that doesn't arrive makes no fid
    return std::unexpected(walked.error());
}

void NinepClient::clunk(Fid fid) {
    forget(submit(Tclunk{fid}));
    free_fids_.push_back(fid);  // the guest works in order: it has the clunk before the fid comes again
}

// ---- files ----------------------------------------------------------------------------------------------------------

Outcome<Fid> NinepClient::open(std::string_view path, u8 mode) {
    return open_as(path, mode, false);
}

Outcome<Fid> NinepClient::open_as(std::string_view path, u8 mode, bool directory) {
    Fid fid = GRAFT_TRY(walk(path));
    auto opened = expect<Ropen>(submit(Topen{.fid = fid, .mode = mode}), path);
    bool is_directory = opened && (opened->get<Ropen>()->qid.type & kQidDirectory) != 0;
    if (opened && is_directory == directory) return fid;
    clunk(fid);
    if (!opened) return std::unexpected(opened.error());
    return refused(fmt::format("{}: {}", path, is_directory ? "is a folder" : "is not a folder"));
}

Outcome<Fid> NinepClient::create(std::string_view directory, std::string_view name) {
    if (name.empty() || name.size() > path_max()) return refused(fmt::format("'{}': can't be a file's name", name));
    Fid fid = GRAFT_TRY(walk(directory));
    Tag tag = submit(Tcreate{.fid = fid, .name = name, .permissions = 0600, .mode = kOpenWrite, .extension = ""});
    auto created = expect<Rcreate>(tag, name);
    if (created) return fid;
    clunk(fid);
    return std::unexpected(created.error());
}

Outcome<std::vector<std::byte>> NinepClient::read_all(Fid fid, std::string_view path) {
    std::vector<std::byte> bytes;
    for (;;) {
        u32 count = message_size_ - static_cast<u32>(kReadOverhead);
        Reply reply = GRAFT_TRY(expect<Rread>(submit(Tread{.fid = fid, .offset = bytes.size(), .count = count}), path));
        std::span<const std::byte> data = reply.get<Rread>()->data;
        if (data.empty()) return bytes;
        bytes.insert(bytes.end(), data.begin(), data.end());
    }
}

Outcome<std::string> NinepClient::read_file(std::string_view path) {
    Fid fid = GRAFT_TRY(open(path, kOpenRead));
    auto bytes = read_all(fid, path);
    clunk(fid);
    if (!bytes) return std::unexpected(bytes.error());
    return std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

Outcome<std::string> NinepClient::read_snapshot(std::string_view path) {
    Fid fid = GRAFT_TRY(open(path, kOpenRead));
    std::string content;
    for (;;) {
        Tag read = submit(Tread{.fid = fid, .offset = content.size(), .count = chunk()});
        // The guest works in order: a read that isn't answered before a later request waits at the end.
        (void)GRAFT_TRY(wait(submit(Tstat{.fid = fid})));
        if (!is_answered(read)) {
            forget(submit(Tflush{.old_tag = read}));
            forget(read);
            break;
        }
        Reply reply = GRAFT_TRY(expect<Rread>(read, path));
        std::span<const std::byte> data = reply.get<Rread>()->data;
        if (data.empty()) break;
        content.append(reinterpret_cast<const char*>(data.data()), data.size());
    }
    clunk(fid);
    return content;
}

Outcome<std::vector<std::optional<std::string>>> NinepClient::read_attributes(const std::vector<std::string>& paths) {
    struct UnderWay {
        Fid fid;
        Tag walk, open, read;
    };
    std::deque<UnderWay> under_way;
    std::vector<std::optional<std::string>> values;
    usize next = 0;
    while (values.size() < paths.size()) {
        for (; next < paths.size() && under_way.size() < kAttributesUnderWay; ++next) {
            UnderWay one{.fid = new_fid(), .walk = 0, .open = 0, .read = 0};
            one.walk = submit_walk(one.fid, paths[next]);
            one.open = submit(Topen{.fid = one.fid, .mode = kOpenRead});
            one.read = submit(Tread{.fid = one.fid, .offset = 0, .count = std::min(kAttributeSize, chunk())});
            under_way.push_back(one);
        }
        UnderWay one = under_way.front();
        under_way.pop_front();
        bool walked = check_walk(GRAFT_TRY(wait(one.walk)), paths[values.size()]).has_value();
        (void)GRAFT_TRY(wait(one.open));
        Reply reply = GRAFT_TRY(wait(one.read));
        const auto* read = reply.get<Rread>();
        std::optional<std::string> value;
        if (walked && read) value.emplace(reinterpret_cast<const char*>(read->data.data()), read->data.size());
        values.push_back(std::move(value));
        if (walked)
            clunk(one.fid);
        else
            free_fids_.push_back(one.fid);
    }
    return values;
}

Outcome<std::vector<DirectoryEntry>> NinepClient::list(std::string_view path) {
    Fid fid = GRAFT_TRY(open_as(path, kOpenRead, true));
    auto bytes = read_all(fid, path);
    clunk(fid);
    if (!bytes) return std::unexpected(bytes.error());
    std::vector<DirectoryEntry> entries;
    for (std::span<const std::byte> rest(*bytes); !rest.empty();) {
        usize size = 0;
        auto stat = decode_stat(rest, dialect_, size);
        if (!stat) return no_connection(fmt::format("{}: malformed folder: {}", path, text_of(stat.error())));
        entries.push_back({.name = std::string(stat->name),
                           .directory = (stat->mode & kModeDirectory) != 0,
                           .length = stat->length,
                           .mode = stat->mode});
        rest = rest.subspan(size);
    }
    return entries;
}

Outcome<bool> NinepClient::exists(std::string_view path) {
    auto fid = walk(path);
    if (fid) {
        clunk(*fid);
        return true;
    }
    if (fid.error().code == ExitCode::refused) return false;
    return std::unexpected(fid.error());
}

Outcome<void> NinepClient::write_all(Fid fid, std::string_view path, std::span<const std::byte> bytes,
                                     const Progress& progress) {
    struct UnderWay {
        Tag tag;
        usize size;
    };
    std::deque<UnderWay> under_way;
    u64 sent = 0;
    u64 done = 0;
    while (done < bytes.size()) {
        while (sent < bytes.size() && under_way.size() < kWritesUnderWay) {
            usize size = std::min<usize>(chunk(), bytes.size() - sent);
            under_way.push_back({submit(Twrite{.fid = fid, .offset = sent, .data = bytes.subspan(sent, size)}), size});
            sent += size;
        }
        UnderWay one = under_way.front();
        under_way.pop_front();
        auto reply = expect<Rwrite>(one.tag, path);
        if (!reply || reply->get<Rwrite>()->count != one.size) {
            for (const UnderWay& rest : under_way) forget(rest.tag);
            if (!reply) return std::unexpected(reply.error());
            return refused(fmt::format("{}: took {} of {} bytes", path, reply->get<Rwrite>()->count, one.size));
        }
        done += one.size;
        if (progress) progress(done, bytes.size());
    }
    return {};
}

// The sync tells what the guest made of the file; the clunk after it has nothing left to tell.
Outcome<void> NinepClient::finish_writing(Fid fid, std::string_view path) {
    auto synced = expect<Rwstat>(submit(Twstat{.fid = fid, .stat = Stat::dont_touch()}), path);
    clunk(fid);
    if (!synced) return std::unexpected(synced.error());
    return {};
}

Outcome<void> NinepClient::write_file(std::string_view path, std::span<const std::byte> bytes) {
    bool there = GRAFT_TRY(exists(path));
    auto [directory, name] = split_path(path);
    Fid fid = there ? GRAFT_TRY(open(path, kOpenWrite)) : GRAFT_TRY(create(directory, name));
    auto written = write_all(fid, path, bytes, {});
    if (written) return finish_writing(fid, path);
    clunk(fid);
    return written;
}

Outcome<void> NinepClient::upload(std::string_view directory, std::string_view name, std::span<const std::byte> bytes,
                                  const Progress& progress) {
    Fid fid = GRAFT_TRY(create(directory, name));
    std::string_view thing = name.substr(0, name.rfind('.'));  // what the guest calls it
    auto written = write_all(fid, thing, bytes, progress);
    if (written) return finish_writing(fid, thing);
    clunk(fid);
    return written;
}

Outcome<std::string> NinepClient::ask(std::string_view path, std::span<const std::byte> bytes,
                                      const Progress& progress) {
    Fid fid = GRAFT_TRY(open(path, kOpenReadWrite));
    auto written = write_all(fid, path, bytes, progress);
    if (!written) {
        clunk(fid);
        return std::unexpected(written.error());
    }
    (void)GRAFT_TRY(expect<Rwstat>(submit(Twstat{.fid = fid, .stat = Stat::dont_touch()}), path));
    auto answer = read_all(fid, path);
    clunk(fid);
    if (!answer) return std::unexpected(answer.error());
    return std::string(reinterpret_cast<const char*>(answer->data()), answer->size());
}

}  // namespace graft::tool
