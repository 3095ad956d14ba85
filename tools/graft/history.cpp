#include "tools/graft/history.h"

#include <algorithm>

#include <fmt/format.h>

namespace graft::tool {

using namespace formats::ninep;

namespace {

std::string take_column(std::string_view& line) {
    usize end = std::min(line.find('\t'), line.size());
    std::string column(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
    return column;
}

std::string moves_of(const HistoryRecord& record) {
    std::string text;
    for (const char* cause : {"walk", "interrupt", "hook", "birth", "exit", "force"}) {
        std::string count = record.field(cause);
        if (count.empty() || count == "0") continue;
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", cause, count);
    }
    return text.empty() ? "no task to move" : "tasks moved by " + text;
}

// Of a contained fault.
std::string consequence(const std::string& then) {
    if (then == "reversed") return "is reversed";
    if (then == "rolled-back") return "is rolled back";
    if (then == "leaves") return "is on its way out already";
    return "stays: there is no way back any more";
}

}  // namespace

std::string HistoryRecord::field(std::string_view name) const {
    for (const auto& [key, value] : fields) {
        if (key == name) return value;
    }
    return {};
}

std::string HistoryRecord::sentence() const {
    if (event == "loaded" || event == "unloaded" || event == "rolled-back") {
        std::string turns = field("turns");
        std::string reversed = turns.empty() || turns == "0" ? "" : fmt::format(" (reversed {} times)", turns);
        return fmt::format("{} in {} s{}; {}", event, field("seconds"), reversed, moves_of(*this));
    }
    if (event == "refused" || event == "stuck") return fmt::format("{}: {}", event, field("reason"));
    if (event == "load-started" && !field("replaces").empty())
        return fmt::format("load started: call sites are live, tasks move from {}", field("replaces"));
    if (event == "load-started") return "load started: call sites are live, tasks move";
    if (event == "rollback-started") return "rollback started: tasks move back";
    if (event == "expired") return fmt::format("deadline passed, {} tasks hadn't moved: reversed", field("tasks"));
    if (event == "held")
        return fmt::format("held by task {} ({}) in {}", field("task"), field("name"), field("function"));
    if (event == "forced") return fmt::format("forced: {} tasks moved whatever they were in", field("tasks"));
    if (event == "replaced") return fmt::format("replaced by {}", field("by"));
    if (event == "dormant") return fmt::format("replaced by {}, and kept to be gone back to", field("by"));
    if (event == "committed") return "committed: its probation is over";
    if (event == "canary")
        return fmt::format("canary: {} of {} tasks have moved ({}), the others stay until it is promoted",
                           field("moved"), field("total"), field("share"));
    if (event == "promoted")
        return fmt::format("promoted, with {} of {} tasks moved: the others move", field("moved"), field("total"));
    if (event == "aborted") return fmt::format("canary aborted: {}", field("reason"));
    if (event == "withdrawn") return fmt::format("withdrawn: {}", field("reason"));
    if (event == "fault")
        return fmt::format("fault: {} at {} in task {} ({}), which is stopped; the patch {}", field("kind"),
                           field("function"), field("task"), field("name"), consequence(field("then")));
    if (event == "unload-started") return "unload started: tasks move back";
    if (event == "turned") return "reversed: the transition goes the other way";
    if (event == "lingers")
        return fmt::format("lingers: {} references into it, the first at {}", field("references"), field("place"));
    if (event == "freed") return "freed: its memory is given back";
    return event;
}

void HistoryRecord::write(JsonWriter& json) const {
    json.begin_object().field("number", number).field("seconds", seconds).field("event", event).field("patch", patch);
    for (const auto& [key, value] : fields) json.field(key == "seconds" ? "duration" : key, value);
    json.end();
}

HistoryRecord parse_record(std::string_view line) {
    HistoryRecord record;
    record.number = take_column(line);
    record.seconds = take_column(line);
    record.event = take_column(line);
    record.patch = take_column(line);
    while (!line.empty()) {
        std::string column = take_column(line);
        usize equals = std::min(column.find('='), column.size());
        std::string value = equals < column.size() ? column.substr(equals + 1) : "";
        record.fields.emplace_back(column.substr(0, equals), std::move(value));
    }
    return record;
}

// ---- Follower -------------------------------------------------------------------------------------------------------

Follower::Follower(NinepClient& client, std::string path, Fid fid)
    : client_(client), path_(std::move(path)), fid_(fid) {
    submit_read();
}

Outcome<std::unique_ptr<Follower>> Follower::open(NinepClient& client, std::string path) {
    Fid fid = GRAFT_TRY(client.walk(path));
    (void)GRAFT_TRY(client.expect<Ropen>(client.submit(Topen{.fid = fid, .mode = kOpenRead}), path));
    return std::unique_ptr<Follower>(new Follower(client, std::move(path), fid));
}

void Follower::submit_read() {
    read_ = client_.submit(Tread{.fid = fid_, .offset = offset_, .count = client_.chunk()});
}

Outcome<void> Follower::take_read() {
    Reply reply = GRAFT_TRY(client_.expect<Rread>(read_, path_));
    std::span<const std::byte> data = reply.get<Rread>()->data;
    if (data.empty()) return no_connection(path_ + ": ended");
    offset_ += data.size();
    partial_.append(reinterpret_cast<const char*>(data.data()), data.size());
    for (usize end; (end = partial_.find('\n')) != std::string::npos;) {
        lines_.push_back(partial_.substr(0, end));
        partial_.erase(0, end + 1);
    }
    submit_read();
    return {};
}

Outcome<std::vector<std::string>> Follower::catch_up() {
    // The guest works in order: once it has answered a request made after the read, and not the read, the read waits at
    // the end.
    for (;;) {
        (void)GRAFT_TRY(client_.wait(client_.submit(Tstat{.fid = fid_})));
        if (!client_.is_answered(read_)) break;
        GRAFT_CHECK(take_read());
    }
    std::vector<std::string> lines(lines_.begin(), lines_.end());
    lines_.clear();
    return lines;
}

Outcome<std::optional<std::string>> Follower::next(u64 until_ns) {
    while (lines_.empty()) {
        if (!GRAFT_TRY(client_.wait_until(read_, until_ns))) return std::optional<std::string>();
        GRAFT_CHECK(take_read());
    }
    std::optional<std::string> line(std::move(lines_.front()));
    lines_.pop_front();
    return line;
}

}  // namespace graft::tool
