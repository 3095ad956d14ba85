// 9P messages: 9P2000 and its Unix dialect 9P2000.u, as both ends of a connection use them [9p] (intro(5) of Plan 9's
// manual; the dialect after Van Hensbergen's "9P2000.u").
//
// decode() gives a struct of views into the message; they live as long as the message's bytes. encode() writes one
// message into memory of the caller. Every length is checked; what is malformed is refused, naming field, place, found
// and expected. Pure: no I/O, no allocation. Any context.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "base/text.h"
#include "base/types.h"
#include "base/writer.h"

namespace graft::formats::ninep {

enum class Dialect : u8 { plain, with_unix };

inline constexpr std::string_view kVersion9P2000 = "9P2000";
inline constexpr std::string_view kVersion9P2000u = "9P2000.u";
inline constexpr std::string_view kVersionUnknown = "unknown";

inline constexpr u16 kNoTag = 0xffff;
inline constexpr u32 kNoFid = 0xffffffff;
inline constexpr u32 kNoUser = 0xffffffff;
inline constexpr usize kMaxWalk = 16;        // names in one walk
inline constexpr usize kHeaderSize = 7;      // size[4] type[1] tag[2]
inline constexpr usize kReadOverhead = 11;   // of an Rread, beside its data
inline constexpr usize kWriteOverhead = 23;  // of a Twrite, beside its data
inline constexpr u32 kMinMessageSize = 256;  // the least msize worth agreeing on

enum class Type : u8 {
    tversion = 100,
    rversion,
    tauth = 102,
    rauth,
    tattach = 104,
    rattach,
    rerror = 107,
    tflush = 108,
    rflush,
    twalk = 110,
    rwalk,
    topen = 112,
    ropen,
    tcreate = 114,
    rcreate,
    tread = 116,
    rread,
    twrite = 118,
    rwrite,
    tclunk = 120,
    rclunk,
    tremove = 122,
    rremove,
    tstat = 124,
    rstat,
    twstat = 126,
    rwstat,
};

// Bits of Qid::type.
inline constexpr u8 kQidDirectory = 0x80;
inline constexpr u8 kQidAppendOnly = 0x40;

struct Qid {
    u8 type = 0;
    u32 version = 0;
    u64 path = 0;
    bool operator==(const Qid&) const = default;
};
inline constexpr usize kQidSize = 13;

// Open modes.
inline constexpr u8 kOpenRead = 0;
inline constexpr u8 kOpenWrite = 1;
inline constexpr u8 kOpenReadWrite = 2;
inline constexpr u8 kOpenExecute = 3;
inline constexpr u8 kOpenAccessMask = 3;
inline constexpr u8 kOpenTruncate = 0x10;
inline constexpr u8 kOpenRemoveOnClose = 0x40;

// Bits of Stat::mode above the nine permission bits.
inline constexpr u32 kModeDirectory = 0x80000000;
inline constexpr u32 kModeAppendOnly = 0x40000000;
inline constexpr u32 kModePermissions = 0777;

// In a Twstat, an integer of all ones and an empty text mean "don't touch".
struct Stat {
    u16 type = 0;
    u32 device = 0;
    Qid qid;
    u32 mode = 0;
    u32 accessed = 0;  // seconds since 1970
    u32 modified = 0;
    u64 length = 0;
    std::string_view name;
    std::string_view user;
    std::string_view group;
    std::string_view modifier;
    // 9P2000.u only:
    std::string_view extension;
    u32 user_number = kNoUser;
    u32 group_number = kNoUser;
    u32 modifier_number = kNoUser;

    static Stat dont_touch();
    bool touches_nothing() const;
};

struct Tversion {
    u32 msize = 0;
    std::string_view version;
};
struct Rversion {
    u32 msize = 0;
    std::string_view version;
};
struct Tauth {
    u32 auth_fid = kNoFid;
    std::string_view user;
    std::string_view tree;
    u32 user_number = kNoUser;
};
struct Rauth {
    Qid qid;
};
struct Tattach {
    u32 fid = 0;
    u32 auth_fid = kNoFid;
    std::string_view user;
    std::string_view tree;
    u32 user_number = kNoUser;  // 9P2000.u only
};
struct Rattach {
    Qid qid;
};
struct Rerror {
    std::string_view text;
    u32 number = 0;
};  // number: 9P2000.u only
struct Tflush {
    u16 old_tag = 0;
};
struct Rflush {};
struct Twalk {
    u32 fid = 0;
    u32 new_fid = 0;
    u16 count = 0;
    std::array<std::string_view, kMaxWalk> names;
};
struct Rwalk {
    u16 count = 0;
    std::array<Qid, kMaxWalk> qids;
};
struct Topen {
    u32 fid = 0;
    u8 mode = 0;
};
struct Ropen {
    Qid qid;
    u32 io_unit = 0;
};
struct Tcreate {
    u32 fid = 0;
    std::string_view name;
    u32 permissions = 0;
    u8 mode = 0;
    std::string_view extension;  // 9P2000.u only
};
struct Rcreate {
    Qid qid;
    u32 io_unit = 0;
};
struct Tread {
    u32 fid = 0;
    u64 offset = 0;
    u32 count = 0;
};
struct Rread {
    std::span<const std::byte> data;
};
struct Twrite {
    u32 fid = 0;
    u64 offset = 0;
    std::span<const std::byte> data;
};
struct Rwrite {
    u32 count = 0;
};
struct Tclunk {
    u32 fid = 0;
};
struct Rclunk {};
struct Tremove {
    u32 fid = 0;
};
struct Rremove {};
struct Tstat {
    u32 fid = 0;
};
struct Rstat {
    Stat stat;
};
struct Twstat {
    u32 fid = 0;
    Stat stat;
};
struct Rwstat {};

using Body = std::variant<Tversion, Rversion, Tauth, Rauth, Tattach, Rattach, Rerror, Tflush, Rflush, Twalk, Rwalk,
                          Topen, Ropen, Tcreate, Rcreate, Tread, Rread, Twrite, Rwrite, Tclunk, Rclunk, Tremove,
                          Rremove, Tstat, Rstat, Twstat, Rwstat>;

struct Message {
    u16 tag = kNoTag;
    Body body;
};

struct CodecError {
    enum class Code : u8 {
        truncated,       // the message ends inside `field`
        trailing,        // bytes follow after the last field
        size_field,      // the size field differs from the message's bytes
        unknown_type,    // no message has this type
        too_many_names,  // more than kMaxWalk in a walk
        bad_stat_size,   // a stat's inner size fields contradict its content
        bad_text,        // a text contains a zero byte
        no_room,         // encode: the message is longer than the memory given
    };
    Code code;
    const char* field;  // name of the field, a literal
    usize offset;       // where in the message
    u64 found;
    u64 expected;
};

// A clear sentence, lower case.
void describe(const CodecError& error, TextBuffer& out);

// `bytes` is one whole message, its size field included.
Result<Message, CodecError> decode(std::span<const std::byte> bytes, Dialect dialect);

// Returns the message's size. Texts longer than 65,535 bytes are cut there.
Result<usize, CodecError> encode(const Message& message, Dialect dialect, std::span<std::byte> out);

// One stat record as directories consist of them, its own size field included; the writer fails when there is no room.
void encode_stat(const Stat& stat, Dialect dialect, Writer& writer);

// The first stat record of a directory's content; its size in `size`. For clients that list directories.
Result<Stat, CodecError> decode_stat(std::span<const std::byte> bytes, Dialect dialect, usize& size);

}  // namespace graft::formats::ninep
