// Server: a 9P2000.u and 9P2000 server for one client over a stream of bytes. It brings the tree's files to the client
// and decides nothing.
//
// The stream's owner hands in what has arrived (receive) and sends what is to be sent (output). No call waits: a read
// that has nothing to give yet, and a change that isn't decided yet, are kept as data and answered by a later poll().
//
//   - Tversion starts over: all fids are dropped, as if the client had gone and come again.
//   - A malformed message of a sound size is answered with an error; one of an impossible size leaves nothing to go on
//     from: it is answered, and the server is_broken() until reset().
//   - A fid's open file is dropped without effect when the client goes (reset); a clunk closes it.
//   - At most one whole request waits for room in the output; receive() takes no more until it has been answered. So
//     a client that doesn't read what it asked for only stops itself.
//
// Not synchronised; context: task.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "base/types.h"
#include "control/buffer.h"
#include "control/fid_table.h"
#include "control/node.h"
#include "formats/ninep.h"

namespace graft::control {

struct ServerLimits {
    u32 max_message = 8192 + 24;
    usize max_fids = 128;
    usize max_memory = 1024 * 1024;  // for directory listings
};

class Server {
public:
    static constexpr usize kMaxWaiting = 16;    // reads that wait for more
    static constexpr usize kMaxUndecided = 16;  // changes

    explicit Server(Tree& tree, const ServerLimits& limits = {});
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // False when there is no memory; then the server must not be used.
    [[nodiscard]] bool allocate();

    // Takes as many of the bytes as it can; the rest is offered again when output has been sent.
    usize receive(std::span<const std::byte> bytes);
    // Answers what waited for room in the output or for more to read.
    void poll();
    // What is to be sent to the client, until the next call of any other method.
    std::span<const std::byte> output() const { return {out_.get() + out_begin_, out_end_ - out_begin_}; }
    // So many bytes of output() have been sent.
    void consume_output(usize count);
    // The stream can't be followed any more.
    bool is_broken() const { return is_broken_; }
    // The client has gone, or another has come.
    void reset();

private:
    using Dialect = formats::ninep::Dialect;
    using Body = formats::ninep::Body;
    using Reply = ControlResult<Body>;

    struct WaitingRead {
        bool in_use = false;
        u16 tag = 0;
        u32 fid = 0;
        u64 offset = 0;
        u32 count = 0;
    };

    // A write, clunk, remove or sync whose answer comes later.
    struct Undecided {
        bool in_use = false;
        u16 tag = 0;
        u64 ticket = 0;
        formats::ninep::Type reply{};
        u32 written = 0;
    };

    bool has_room_for_reply() const;
    void compact_output();
    void check_size();
    void handle_message();
    void dispatch(u16 tag, const Body& request);
    bool is_waiting(u16 tag) const;
    void send(u16 tag, const Body& body);
    void send_error(u16 tag, const ControlError& error);
    void send_reply(u16 tag, const Reply& reply);
    void keep_undecided(u16 tag, const Body& request, u64 ticket);
    void answer_decided(Undecided& undecided);
    void break_off(std::string_view reason);
    void drop_session();

    // Requests; server_requests.cpp.
    Reply answer(const Body& request);
    Reply version(const formats::ninep::Tversion& request);
    Reply attach(const formats::ninep::Tattach& request);
    Reply flush(const formats::ninep::Tflush& request);
    Reply walk(const formats::ninep::Twalk& request);
    Reply open(const formats::ninep::Topen& request);
    Reply create(const formats::ninep::Tcreate& request);
    Reply write(const formats::ninep::Twrite& request);
    Reply clunk(const formats::ninep::Tclunk& request);
    Reply remove(const formats::ninep::Tremove& request);
    Reply stat(const formats::ninep::Tstat& request);
    Reply write_stat(const formats::ninep::Twstat& request);
    // Answers by itself, or keeps the request for later; true when it has answered.
    bool read(u16 tag, const formats::ninep::Tread& request);
    ControlResult<usize> read_into(const formats::ninep::Tread& request, std::span<std::byte> out, bool& waits);
    ControlResult<usize> read_directory(Fid& fid, u64 offset, std::span<std::byte> out);
    ControlResult<void> list_directory(Fid& fid);
    void keep_waiting(u16 tag, const formats::ninep::Tread& request);
    void end_waiting_reads(u32 fid);

    ControlResult<Fid*> find_fid(u32 number);
    ControlResult<Fid*> add_fid(u32 number, NodeId node, bool is_directory);
    ControlResult<formats::ninep::Qid> open_node(Fid& fid, u8 mode);
    u32 io_unit() const;

    Tree& tree_;
    const ServerLimits limits_;
    Quota quota_;
    FidTable fids_;
    std::array<WaitingRead, kMaxWaiting> waiting_{};
    std::array<Undecided, kMaxUndecided> undecided_{};

    std::unique_ptr<std::byte[]> in_;
    usize in_size_ = 0;    // bytes of the current message that have arrived
    usize in_wanted_ = 0;  // its size; 0 while the size field is not complete
    std::unique_ptr<std::byte[]> out_;
    usize out_capacity_ = 0;
    usize out_begin_ = 0;
    usize out_end_ = 0;

    NodeInfo stat_info_;  // what the stat being answered shows
    u32 max_message_;     // as agreed on
    Dialect dialect_ = Dialect::plain;
    bool has_version_ = false;
    bool is_broken_ = false;
};

}  // namespace graft::control
