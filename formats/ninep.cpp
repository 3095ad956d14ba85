#include "formats/ninep.h"

#include <algorithm>

#include "base/reader.h"

namespace graft::formats::ninep {

namespace {

// Reads fields and remembers the first that was not there or not well-formed. Once failed, it stays failed and yields
// zeros, so that a message's fields can be read in a row.
class Fields {
public:
    Fields(std::span<const std::byte> bytes, Dialect dialect) : reader_(bytes), dialect_(dialect) {}

    bool is_unix() const { return dialect_ == Dialect::with_unix; }
    bool failed() const { return failed_; }
    const CodecError& error() const { return error_; }
    usize position() const { return reader_.position(); }

    template <typename T>
    T integer(const char* field) {
        std::span<const std::byte> bytes = take(sizeof(T), field);
        T value{};
        if (bytes.size() == sizeof(T)) std::memcpy(&value, bytes.data(), sizeof(T));
        return value;
    }

    std::span<const std::byte> data(u32 count, const char* field) { return take(count, field); }

    std::string_view text(const char* field) {
        u16 length = integer<u16>(field);
        usize at = reader_.position();
        std::span<const std::byte> bytes = take(length, field);
        std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        auto zero = std::find(text.begin(), text.end(), '\0');
        if (zero != text.end()) {
            fail({CodecError::Code::bad_text, field, at + static_cast<usize>(zero - text.begin()), 0, 1});
            return {};
        }
        return text;
    }

    Qid qid(const char* field) {
        Qid qid;
        qid.type = integer<u8>(field);
        qid.version = integer<u32>(field);
        qid.path = integer<u64>(field);
        return qid;
    }

    // A stat record with its own size field in front.
    Stat stat() {
        usize at = reader_.position();
        u16 size = integer<u16>("stat size");
        usize begin = reader_.position();
        Stat stat;
        stat.type = integer<u16>("stat type");
        stat.device = integer<u32>("stat device");
        stat.qid = qid("stat qid");
        stat.mode = integer<u32>("stat mode");
        stat.accessed = integer<u32>("stat accessed");
        stat.modified = integer<u32>("stat modified");
        stat.length = integer<u64>("stat length");
        stat.name = text("stat name");
        stat.user = text("stat user");
        stat.group = text("stat group");
        stat.modifier = text("stat modifier");
        if (is_unix()) {
            stat.extension = text("stat extension");
            stat.user_number = integer<u32>("stat user number");
            stat.group_number = integer<u32>("stat group number");
            stat.modifier_number = integer<u32>("stat modifier number");
        }
        usize used = reader_.position() - begin;
        if (!failed_ && used != size) fail({CodecError::Code::bad_stat_size, "stat size", at, size, used});
        return stat;
    }

    // The stat of Rstat and Twstat, which has a second size field in front.
    Stat sized_stat() {
        usize at = reader_.position();
        u16 size = integer<u16>("size of stat");
        usize begin = reader_.position();
        Stat record = stat();
        usize used = reader_.position() - begin;
        if (!failed_ && used != size) fail({CodecError::Code::bad_stat_size, "size of stat", at, size, used});
        return record;
    }

    void fail(const CodecError& error) {
        if (failed_) return;
        failed_ = true;
        error_ = error;
    }

    void expect_end() {
        if (!failed_ && !reader_.at_end()) {
            fail({CodecError::Code::trailing, "end of message", reader_.position(), reader_.remaining(), 0});
        }
    }

private:
    std::span<const std::byte> take(usize count, const char* field) {
        if (failed_) return {};
        if (count > reader_.remaining()) {
            fail({CodecError::Code::truncated, field, reader_.position(), reader_.remaining(), count});
            return {};
        }
        return reader_.take(count);
    }

    Reader reader_;
    Dialect dialect_;
    bool failed_ = false;
    CodecError error_{};
};

Twalk decode_twalk(Fields& in) {
    Twalk walk;
    walk.fid = in.integer<u32>("fid");
    walk.new_fid = in.integer<u32>("newfid");
    usize at = in.position();
    walk.count = in.integer<u16>("nwname");
    if (walk.count > kMaxWalk) {
        in.fail({CodecError::Code::too_many_names, "nwname", at, walk.count, kMaxWalk});
        return {};
    }
    for (u16 i = 0; i < walk.count; ++i) walk.names[i] = in.text("wname");
    return walk;
}

Rwalk decode_rwalk(Fields& in) {
    Rwalk walk;
    usize at = in.position();
    walk.count = in.integer<u16>("nwqid");
    if (walk.count > kMaxWalk) {
        in.fail({CodecError::Code::too_many_names, "nwqid", at, walk.count, kMaxWalk});
        return {};
    }
    for (u16 i = 0; i < walk.count; ++i) walk.qids[i] = in.qid("wqid");
    return walk;
}

Tattach decode_tattach(Fields& in) {
    Tattach attach;
    attach.fid = in.integer<u32>("fid");
    attach.auth_fid = in.integer<u32>("afid");
    attach.user = in.text("uname");
    attach.tree = in.text("aname");
    if (in.is_unix()) attach.user_number = in.integer<u32>("n_uname");
    return attach;
}

Tauth decode_tauth(Fields& in) {
    Tauth auth;
    auth.auth_fid = in.integer<u32>("afid");
    auth.user = in.text("uname");
    auth.tree = in.text("aname");
    if (in.is_unix()) auth.user_number = in.integer<u32>("n_uname");
    return auth;
}

Tcreate decode_tcreate(Fields& in) {
    Tcreate create;
    create.fid = in.integer<u32>("fid");
    create.name = in.text("name");
    create.permissions = in.integer<u32>("perm");
    create.mode = in.integer<u8>("mode");
    if (in.is_unix()) create.extension = in.text("extension");
    return create;
}

Rerror decode_rerror(Fields& in) {
    Rerror error;
    error.text = in.text("ename");
    if (in.is_unix()) error.number = in.integer<u32>("errno");
    return error;
}

Twrite decode_twrite(Fields& in) {
    Twrite write;
    write.fid = in.integer<u32>("fid");
    write.offset = in.integer<u64>("offset");
    u32 count = in.integer<u32>("count");
    write.data = in.data(count, "data");
    return write;
}

// The fields of each message, in the order of the wire. Braced initialisation evaluates from left to right.
Body decode_body(u8 type, Fields& in) {
    switch (static_cast<Type>(type)) {
        case Type::tversion:
            return Tversion{in.integer<u32>("msize"), in.text("version")};
        case Type::rversion:
            return Rversion{in.integer<u32>("msize"), in.text("version")};
        case Type::tauth:
            return decode_tauth(in);
        case Type::rauth:
            return Rauth{in.qid("aqid")};
        case Type::tattach:
            return decode_tattach(in);
        case Type::rattach:
            return Rattach{in.qid("qid")};
        case Type::rerror:
            return decode_rerror(in);
        case Type::tflush:
            return Tflush{in.integer<u16>("oldtag")};
        case Type::rflush:
            return Rflush{};
        case Type::twalk:
            return decode_twalk(in);
        case Type::rwalk:
            return decode_rwalk(in);
        case Type::topen:
            return Topen{in.integer<u32>("fid"), in.integer<u8>("mode")};
        case Type::ropen:
            return Ropen{in.qid("qid"), in.integer<u32>("iounit")};
        case Type::tcreate:
            return decode_tcreate(in);
        case Type::rcreate:
            return Rcreate{in.qid("qid"), in.integer<u32>("iounit")};
        case Type::tread:
            return Tread{in.integer<u32>("fid"), in.integer<u64>("offset"), in.integer<u32>("count")};
        case Type::rread:
            return Rread{in.data(in.integer<u32>("count"), "data")};
        case Type::twrite:
            return decode_twrite(in);
        case Type::rwrite:
            return Rwrite{in.integer<u32>("count")};
        case Type::tclunk:
            return Tclunk{in.integer<u32>("fid")};
        case Type::rclunk:
            return Rclunk{};
        case Type::tremove:
            return Tremove{in.integer<u32>("fid")};
        case Type::rremove:
            return Rremove{};
        case Type::tstat:
            return Tstat{in.integer<u32>("fid")};
        case Type::rstat:
            return Rstat{in.sized_stat()};
        case Type::twstat:
            return Twstat{in.integer<u32>("fid"), in.sized_stat()};
        case Type::rwstat:
            return Rwstat{};
    }
    in.fail({CodecError::Code::unknown_type, "type", 4, type, 0});
    return Rflush{};
}

void put_text(Writer& out, std::string_view text) {
    usize length = std::min<usize>(text.size(), 0xffff);
    out.write(static_cast<u16>(length));
    out.write_text(std::string_view(text.data(), length));
}

void put_qid(Writer& out, const Qid& qid) {
    out.write(qid.type);
    out.write(qid.version);
    out.write(qid.path);
}

void put_sized_stat(Writer& out, const Stat& stat, Dialect dialect) {
    usize at = out.position();
    out.write(u16{0});
    encode_stat(stat, dialect, out);
    out.overwrite(at, static_cast<u16>(out.position() - at - sizeof(u16)));
}

void put_data(Writer& out, std::span<const std::byte> data) {
    out.write(static_cast<u32>(data.size()));
    out.write_bytes(data);
}

// One overload a message; they write the fields and give the type.
struct Encoder {
    Writer& out;
    Dialect dialect;

    bool is_unix() const { return dialect == Dialect::with_unix; }

    Type operator()(const Tversion& m) { return out.write(m.msize), put_text(out, m.version), Type::tversion; }
    Type operator()(const Rversion& m) { return out.write(m.msize), put_text(out, m.version), Type::rversion; }
    Type operator()(const Tauth& m) {
        out.write(m.auth_fid);
        put_text(out, m.user);
        put_text(out, m.tree);
        if (is_unix()) out.write(m.user_number);
        return Type::tauth;
    }
    Type operator()(const Rauth& m) { return put_qid(out, m.qid), Type::rauth; }
    Type operator()(const Tattach& m) {
        out.write(m.fid);
        out.write(m.auth_fid);
        put_text(out, m.user);
        put_text(out, m.tree);
        if (is_unix()) out.write(m.user_number);
        return Type::tattach;
    }
    Type operator()(const Rattach& m) { return put_qid(out, m.qid), Type::rattach; }
    Type operator()(const Rerror& m) {
        put_text(out, m.text);
        if (is_unix()) out.write(m.number);
        return Type::rerror;
    }
    Type operator()(const Tflush& m) { return out.write(m.old_tag), Type::tflush; }
    Type operator()(const Rflush&) { return Type::rflush; }
    Type operator()(const Twalk& m) {
        usize count = std::min<usize>(m.count, kMaxWalk);
        out.write(m.fid);
        out.write(m.new_fid);
        out.write(static_cast<u16>(count));
        for (usize i = 0; i < count; ++i) put_text(out, m.names[i]);
        return Type::twalk;
    }
    Type operator()(const Rwalk& m) {
        usize count = std::min<usize>(m.count, kMaxWalk);
        out.write(static_cast<u16>(count));
        for (usize i = 0; i < count; ++i) put_qid(out, m.qids[i]);
        return Type::rwalk;
    }
    Type operator()(const Topen& m) { return out.write(m.fid), out.write(m.mode), Type::topen; }
    Type operator()(const Ropen& m) { return put_qid(out, m.qid), out.write(m.io_unit), Type::ropen; }
    Type operator()(const Tcreate& m) {
        out.write(m.fid);
        put_text(out, m.name);
        out.write(m.permissions);
        out.write(m.mode);
        if (is_unix()) put_text(out, m.extension);
        return Type::tcreate;
    }
    Type operator()(const Rcreate& m) { return put_qid(out, m.qid), out.write(m.io_unit), Type::rcreate; }
    Type operator()(const Tread& m) {
        out.write(m.fid);
        out.write(m.offset);
        out.write(m.count);
        return Type::tread;
    }
    Type operator()(const Rread& m) { return put_data(out, m.data), Type::rread; }
    Type operator()(const Twrite& m) {
        out.write(m.fid);
        out.write(m.offset);
        put_data(out, m.data);
        return Type::twrite;
    }
    Type operator()(const Rwrite& m) { return out.write(m.count), Type::rwrite; }
    Type operator()(const Tclunk& m) { return out.write(m.fid), Type::tclunk; }
    Type operator()(const Rclunk&) { return Type::rclunk; }
    Type operator()(const Tremove& m) { return out.write(m.fid), Type::tremove; }
    Type operator()(const Rremove&) { return Type::rremove; }
    Type operator()(const Tstat& m) { return out.write(m.fid), Type::tstat; }
    Type operator()(const Rstat& m) { return put_sized_stat(out, m.stat, dialect), Type::rstat; }
    Type operator()(const Twstat& m) {
        out.write(m.fid);
        put_sized_stat(out, m.stat, dialect);
        return Type::twstat;
    }
    Type operator()(const Rwstat&) { return Type::rwstat; }
};

// std::visit() would bring its exception along.
template <usize Index = 0>
Type encode_body(const Body& body, Encoder& encoder) {
    if constexpr (Index + 1 == std::variant_size_v<Body>) {
        return encoder(*std::get_if<Index>(&body));
    } else {
        if (auto* message = std::get_if<Index>(&body)) return encoder(*message);
        return encode_body<Index + 1>(body, encoder);
    }
}

}  // namespace

Stat Stat::dont_touch() {
    Stat stat;
    stat.type = 0xffff;
    stat.device = 0xffffffff;
    stat.qid = {0xff, 0xffffffff, ~u64{0}};
    stat.mode = 0xffffffff;
    stat.accessed = 0xffffffff;
    stat.modified = 0xffffffff;
    stat.length = ~u64{0};
    return stat;
}

bool Stat::touches_nothing() const {
    const Stat untouched = dont_touch();
    return type == untouched.type && device == untouched.device && qid == untouched.qid && mode == untouched.mode &&
           accessed == untouched.accessed && modified == untouched.modified && length == untouched.length &&
           name.empty() && user.empty() && group.empty() && modifier.empty() && extension.empty() &&
           user_number == kNoUser && group_number == kNoUser && modifier_number == kNoUser;
}

void describe(const CodecError& error, TextBuffer& out) {
    switch (error.code) {
        case CodecError::Code::truncated:
            out.append("message ends inside ", error.field, " at offset ", error.offset, ": ", error.found,
                       " bytes are left, ", error.expected, " are needed");
            return;
        case CodecError::Code::trailing:
            out.append(error.found, " bytes follow the last field, from offset ", error.offset);
            return;
        case CodecError::Code::size_field:
            out.append("size field says ", error.found, ", the message has ", error.expected, " bytes");
            return;
        case CodecError::Code::unknown_type:
            out.append("no message has type ", error.found);
            return;
        case CodecError::Code::too_many_names:
            out.append(error.field, " is ", error.found, ", at most ", error.expected, " are allowed");
            return;
        case CodecError::Code::bad_stat_size:
            out.append(error.field, " at offset ", error.offset, " says ", error.found, ", the fields have ",
                       error.expected);
            return;
        case CodecError::Code::bad_text:
            out.append(error.field, " contains a zero byte at offset ", error.offset);
            return;
        case CodecError::Code::no_room:
            out.append("message does not fit: ", error.found, " bytes are allowed");
            return;
    }
}

Result<Message, CodecError> decode(std::span<const std::byte> bytes, Dialect dialect) {
    Fields in(bytes, dialect);
    u32 size = in.integer<u32>("size");
    u8 type = in.integer<u8>("type");
    Message message;
    message.tag = in.integer<u16>("tag");
    if (!in.failed() && size != bytes.size()) in.fail({CodecError::Code::size_field, "size", 0, size, bytes.size()});
    if (in.failed()) return fail(in.error());
    message.body = decode_body(type, in);
    in.expect_end();
    if (in.failed()) return fail(in.error());
    return message;
}

Result<usize, CodecError> encode(const Message& message, Dialect dialect, std::span<std::byte> out) {
    Writer writer(out);
    writer.write(u32{0});
    writer.write(u8{0});
    writer.write(message.tag);
    Encoder encoder{writer, dialect};
    Type type = encode_body(message.body, encoder);
    writer.overwrite(0, static_cast<u32>(writer.position()));
    writer.overwrite(4, static_cast<u8>(type));
    if (!writer.ok()) return fail(CodecError{CodecError::Code::no_room, "message", 0, out.size(), 0});
    return writer.position();
}

void encode_stat(const Stat& stat, Dialect dialect, Writer& writer) {
    usize at = writer.position();
    writer.write(u16{0});
    writer.write(stat.type);
    writer.write(stat.device);
    put_qid(writer, stat.qid);
    writer.write(stat.mode);
    writer.write(stat.accessed);
    writer.write(stat.modified);
    writer.write(stat.length);
    put_text(writer, stat.name);
    put_text(writer, stat.user);
    put_text(writer, stat.group);
    put_text(writer, stat.modifier);
    if (dialect == Dialect::with_unix) {
        put_text(writer, stat.extension);
        writer.write(stat.user_number);
        writer.write(stat.group_number);
        writer.write(stat.modifier_number);
    }
    writer.overwrite(at, static_cast<u16>(writer.position() - at - sizeof(u16)));
}

Result<Stat, CodecError> decode_stat(std::span<const std::byte> bytes, Dialect dialect, usize& size) {
    Fields in(bytes, dialect);
    Stat stat = in.stat();
    if (in.failed()) return fail(in.error());
    size = in.position();
    return stat;
}

}  // namespace graft::formats::ninep
