// The requests of the 9P server. Each gives the body of its reply or an error.
#include <algorithm>
#include <cstring>

#include "base/reader.h"
#include "control/server.h"

namespace graft::control {

using namespace formats::ninep;

namespace {

constexpr std::string_view kOwner = "graft";
constexpr u16 kReadBits = 0444;
constexpr u16 kWriteBits = 0222;
constexpr usize kStatMax = 2 * kMaxNodeName;  // more than any stat record that the server makes

Qid qid_of(const NodeInfo& info) {
    return {static_cast<u8>(info.is_directory ? kQidDirectory : 0), info.version, info.id.value};
}

Stat stat_of(const NodeInfo& info) {
    Stat stat;
    stat.qid = qid_of(info);
    stat.mode = info.permissions | (info.is_directory ? kModeDirectory : 0);
    stat.length = info.length;
    stat.name = info.name.view();
    stat.user = kOwner;
    stat.group = kOwner;
    stat.modifier = kOwner;
    stat.user_number = 0;
    stat.group_number = 0;
    stat.modifier_number = 0;
    return stat;
}

// What opening a file for truncation, as shells do, makes of a Twstat: length 0 and perhaps new times.
bool is_truncation(Stat stat) {
    const Stat untouched = Stat::dont_touch();
    if (stat.length != 0 && stat.length != untouched.length) return false;
    stat.length = untouched.length;
    stat.accessed = untouched.accessed;
    stat.modified = untouched.modified;
    return stat.touches_nothing();
}

bool is_good_name(std::string_view name) {
    if (name.empty() || name == "." || name == "..") return false;
    return std::none_of(name.begin(), name.end(), [](char character) {
        return character == '/' || static_cast<unsigned char>(character) < ' ' || character == '\x7f';
    });
}

}  // namespace

Server::Reply Server::answer(const Body& request) {
    if (auto* m = std::get_if<Twrite>(&request)) return write(*m);
    if (auto* m = std::get_if<Twalk>(&request)) return walk(*m);
    if (auto* m = std::get_if<Topen>(&request)) return open(*m);
    if (auto* m = std::get_if<Tclunk>(&request)) return clunk(*m);
    if (auto* m = std::get_if<Tstat>(&request)) return stat(*m);
    if (auto* m = std::get_if<Twstat>(&request)) return write_stat(*m);
    if (auto* m = std::get_if<Tcreate>(&request)) return create(*m);
    if (auto* m = std::get_if<Tremove>(&request)) return remove(*m);
    if (auto* m = std::get_if<Tflush>(&request)) return flush(*m);
    if (auto* m = std::get_if<Tattach>(&request)) return attach(*m);
    if (auto* m = std::get_if<Tversion>(&request)) return version(*m);
    if (std::get_if<Tauth>(&request) != nullptr) return refuse(ErrorNumber::invalid, "no authentication is needed");
    return refuse(ErrorNumber::protocol, "a reply is not a request");
}

// ---- The session

Server::Reply Server::version(const Tversion& request) {
    if (request.msize < kMinMessageSize) {
        return refuse(ErrorNumber::protocol, "msize ", request.msize, " is less than ", kMinMessageSize);
    }
    drop_session();
    max_message_ = std::min(request.msize, limits_.max_message);
    has_version_ = true;
    // A server answers with the longest part of the version, up to a period, that it knows [9p version(5)].
    std::string_view base = request.version;
    if (auto period = base.find('.'); period != std::string_view::npos) base.remove_suffix(base.size() - period);
    if (request.version == kVersion9P2000u) {
        dialect_ = Dialect::with_unix;
        return Body{Rversion{max_message_, kVersion9P2000u}};
    }
    dialect_ = Dialect::plain;
    if (base == kVersion9P2000) return Body{Rversion{max_message_, kVersion9P2000}};
    has_version_ = false;
    return Body{Rversion{max_message_, kVersionUnknown}};
}

Server::Reply Server::attach(const Tattach& request) {
    if (request.auth_fid != kNoFid) return refuse(ErrorNumber::invalid, "no authentication is needed");
    if (!request.tree.empty() && request.tree != "/") {
        return refuse(ErrorNumber::not_found, "no tree is called ", request.tree);
    }
    NodeInfo root = GRAFT_TRY(tree_.info(tree_.root()));
    GRAFT_CHECK(add_fid(request.fid, root.id, true));
    return Body{Rattach{qid_of(root)}};
}

Server::Reply Server::flush(const Tflush& request) {
    for (WaitingRead& read : waiting_) {
        if (read.in_use && read.tag == request.old_tag) read.in_use = false;
    }
    for (Undecided& undecided : undecided_) {
        if (undecided.in_use && undecided.tag == request.old_tag) undecided.in_use = false;
    }
    return Body{Rflush{}};
}

ControlResult<Fid*> Server::find_fid(u32 number) {
    if (Fid* fid = fids_.find(number)) return fid;
    return refuse(ErrorNumber::bad_fid, "fid ", number, " is not in use");
}

ControlResult<Fid*> Server::add_fid(u32 number, NodeId node, bool is_directory) {
    if (number == kNoFid) return refuse(ErrorNumber::bad_fid, "fid ", number, " stands for no fid");
    if (fids_.find(number) != nullptr) return refuse(ErrorNumber::bad_fid, "fid ", number, " is in use");
    if (Fid* fid = fids_.add(number, node, is_directory)) return fid;
    return refuse(ErrorNumber::no_room, "too many fids: at most ", limits_.max_fids);
}

u32 Server::io_unit() const {
    return max_message_ - static_cast<u32>(kWriteOverhead);
}

// ---- Walking

Server::Reply Server::walk(const Twalk& request) {
    Fid* fid = GRAFT_TRY(find_fid(request.fid));
    if (fid->is_open) return refuse(ErrorNumber::bad_fid, "fid ", request.fid, " is open");
    bool is_new = request.new_fid != request.fid;
    if (is_new && fids_.find(request.new_fid) != nullptr) {
        return refuse(ErrorNumber::bad_fid, "fid ", request.new_fid, " is in use");
    }
    Rwalk reply;
    NodeId node = fid->node;
    bool is_directory = fid->is_directory;
    for (u16 i = 0; i < request.count; ++i) {
        auto step = [&]() -> ControlResult<NodeInfo> {
            if (!is_directory) return refuse(ErrorNumber::not_a_directory, "not a directory");
            if (request.names[i] == "..") return tree_.info(tree_.parent(node));
            return tree_.info(GRAFT_TRY(tree_.child(node, request.names[i])));
        }();
        if (!step && i == 0) return fail(step.error());
        // A walk that fails on its way tells how far it came, and leaves the new fid unused.
        if (!step) return Body{reply};
        node = step->id;
        is_directory = step->is_directory;
        reply.qids[reply.count++] = qid_of(*step);
    }
    if (is_new) {
        GRAFT_CHECK(add_fid(request.new_fid, node, is_directory));
    } else {
        fid->node = node;
        fid->is_directory = is_directory;
    }
    return Body{reply};
}

// ---- Opening

ControlResult<Qid> Server::open_node(Fid& fid, u8 mode) {
    if ((mode & ~(kOpenAccessMask | kOpenTruncate)) != 0) {
        return refuse(ErrorNumber::invalid, "open mode ", hex(mode), " is not supported");
    }
    u8 access_mode = mode & kOpenAccessMask;
    NodeInfo info = GRAFT_TRY(tree_.info(fid.node));
    if (access_mode == kOpenExecute) return refuse(ErrorNumber::no_access, info.name.view(), " can't be executed");
    Access access{.read = access_mode != kOpenWrite, .write = access_mode != kOpenRead};
    if (info.is_directory) {
        if (access.write || (mode & kOpenTruncate) != 0) {
            return refuse(ErrorNumber::is_a_directory, info.name.view(), " is a directory");
        }
    } else {
        if (access.read && (info.permissions & kReadBits) == 0) {
            return refuse(ErrorNumber::no_access, info.name.view(), " can't be read");
        }
        if ((access.write || (mode & kOpenTruncate) != 0) && (info.permissions & kWriteBits) == 0) {
            return refuse(ErrorNumber::no_access, info.name.view(), " can't be written");
        }
        fid.file = GRAFT_TRY(tree_.open(fid.node, access));
    }
    fid.is_open = true;
    fid.access = access;
    fid.listing_offset = 0;
    return qid_of(info);
}

Server::Reply Server::open(const Topen& request) {
    Fid* fid = GRAFT_TRY(find_fid(request.fid));
    if (fid->is_open) return refuse(ErrorNumber::bad_fid, "fid ", request.fid, " is open already");
    Qid qid = GRAFT_TRY(open_node(*fid, request.mode));
    return Body{Ropen{qid, io_unit()}};
}

Server::Reply Server::create(const Tcreate& request) {
    Fid* fid = GRAFT_TRY(find_fid(request.fid));
    if (fid->is_open) return refuse(ErrorNumber::bad_fid, "fid ", request.fid, " is open already");
    if (!fid->is_directory) return refuse(ErrorNumber::not_a_directory, "files can only be created in a directory");
    if (!is_good_name(request.name)) return refuse(ErrorNumber::invalid, "not a name for a file");
    if ((request.permissions & ~kModePermissions) != 0) {
        return refuse(ErrorNumber::not_permitted, "only plain files can be created, not ", request.name);
    }
    NodeId directory = fid->node;
    fid->node = GRAFT_TRY(tree_.create(directory, request.name));
    fid->is_directory = false;
    auto qid = open_node(*fid, request.mode);
    if (qid) return Body{Rcreate{*qid, io_unit()}};
    (void)tree_.remove(fid->node);
    fid->node = directory;
    fid->is_directory = true;
    return fail(qid.error());
}

// ---- Reading

bool Server::read(u16 tag, const Tread& request) {
    std::span<std::byte> room(out_.get() + out_end_ + kReadOverhead, max_message_ - kReadOverhead);
    bool waits = false;
    auto count = read_into(request, room.first(std::min<usize>(request.count, room.size())), waits);
    if (!count) {
        send_error(tag, count.error());
        return true;
    }
    if (waits) return false;
    // The data lies where the reply has it already; copying it onto itself is avoided by writing only what precedes it.
    Writer header({out_.get() + out_end_, kReadOverhead});
    header.write(static_cast<u32>(kReadOverhead + *count));
    header.write(static_cast<u8>(Type::rread));
    header.write(tag);
    header.write(static_cast<u32>(*count));
    out_end_ += kReadOverhead + *count;
    return true;
}

ControlResult<usize> Server::read_into(const Tread& request, std::span<std::byte> out, bool& waits) {
    Fid* fid = GRAFT_TRY(find_fid(request.fid));
    if (!fid->is_open) return refuse(ErrorNumber::bad_fid, "fid ", request.fid, " is not open");
    if (!fid->access.read) return refuse(ErrorNumber::no_access, "fid ", request.fid, " is not open for reading");
    if (fid->is_directory) return read_directory(*fid, request.offset, out);
    usize count = GRAFT_TRY(fid->file->read(request.offset, out, waits));
    waits = waits && count == 0 && !out.empty();
    return count;
}

ControlResult<void> Server::list_directory(Fid& fid) {
    fid.listing.release();
    fid.listing_offset = 0;
    bool has_room = true;
    GRAFT_CHECK(tree_.list(fid.node, [&](const NodeInfo& info) {
        std::array<std::byte, kStatMax> record;
        Writer writer(record);
        encode_stat(stat_of(info), dialect_, writer);
        has_room = has_room && writer.ok() && fid.listing.append(std::span<const std::byte>(writer.written()));
    }));
    if (!has_room) return refuse(ErrorNumber::no_memory, "the listing takes more memory than a client may use");
    return {};
}

// A directory is read from the start on, in whole records [9p read(5)].
ControlResult<usize> Server::read_directory(Fid& fid, u64 offset, std::span<std::byte> out) {
    if (offset == 0) GRAFT_CHECK(list_directory(fid));
    if (offset != fid.listing_offset) {
        return refuse(ErrorNumber::invalid, "a directory can't be read from offset ", offset, ", the next one is ",
                      fid.listing_offset);
    }
    std::span<const std::byte> rest = fid.listing.view().subspan(fid.listing_offset);
    usize count = 0;
    while (count < rest.size()) {
        Reader reader(rest.subspan(count));
        usize size = sizeof(u16) + reader.read<u16>();
        if (size > out.size() - count) break;
        count += size;
    }
    if (count == 0 && !rest.empty())
        return refuse(ErrorNumber::invalid, "no directory entry fits into ", out.size(), " bytes");
    if (count != 0) std::memcpy(out.data(), rest.data(), count);
    fid.listing_offset += count;
    return count;
}

void Server::keep_waiting(u16 tag, const Tread& request) {
    for (WaitingRead& read : waiting_) {
        if (read.in_use) continue;
        read = {true, tag, request.fid, request.offset, request.count};
        return;
    }
    send_reply(tag, refuse(ErrorNumber::busy, "too many waiting reads: at most ", kMaxWaiting));
}

void Server::end_waiting_reads(u32 fid) {
    for (WaitingRead& read : waiting_) {
        if (!read.in_use || read.fid != fid) continue;
        read.in_use = false;
        send_reply(read.tag, refuse(ErrorNumber::bad_fid, "the file was closed"));
    }
}

// ---- Writing

Server::Reply Server::write(const Twrite& request) {
    Fid* fid = GRAFT_TRY(find_fid(request.fid));
    if (!fid->is_open) return refuse(ErrorNumber::bad_fid, "fid ", request.fid, " is not open");
    if (!fid->access.write) return refuse(ErrorNumber::no_access, "fid ", request.fid, " is not open for writing");
    GRAFT_CHECK(fid->file->write(request.offset, request.data));
    return Body{Rwrite{static_cast<u32>(request.data.size())}};
}

// The fid is gone whatever the answer [9p clunk(5)].
Server::Reply Server::clunk(const Tclunk& request) {
    Fid* fid = GRAFT_TRY(find_fid(request.fid));
    end_waiting_reads(request.fid);
    std::unique_ptr<File> file = std::move(fid->file);
    fids_.remove(*fid);
    if (file) GRAFT_CHECK(file->close());
    return Body{Rclunk{}};
}

Server::Reply Server::remove(const Tremove& request) {
    Fid* fid = GRAFT_TRY(find_fid(request.fid));
    end_waiting_reads(request.fid);
    NodeId node = fid->node;
    std::unique_ptr<File> file = std::move(fid->file);  // dropped when all is done
    fids_.remove(*fid);
    GRAFT_CHECK(tree_.remove(node));
    return Body{Rremove{}};
}

// ---- Attributes

Server::Reply Server::stat(const Tstat& request) {
    Fid* fid = GRAFT_TRY(find_fid(request.fid));
    NodeInfo info = GRAFT_TRY(tree_.info(fid->node));
    // The reply's texts must outlive this function: it is sent by whoever called, so the name is kept in the server.
    stat_info_ = info;
    return Body{Rstat{stat_of(stat_info_)}};
}

Server::Reply Server::write_stat(const Twstat& request) {
    Fid* fid = GRAFT_TRY(find_fid(request.fid));
    if (request.stat.touches_nothing()) {
        if (fid->file) GRAFT_CHECK(fid->file->sync());
        return Body{Rwstat{}};
    }
    NodeInfo info = GRAFT_TRY(tree_.info(fid->node));
    bool is_writable_file = !info.is_directory && (info.permissions & kWriteBits) != 0;
    if (is_writable_file && is_truncation(request.stat)) return Body{Rwstat{}};
    return refuse(ErrorNumber::not_permitted, "the attributes of ", info.name.view(), " can't be changed");
}

}  // namespace graft::control
