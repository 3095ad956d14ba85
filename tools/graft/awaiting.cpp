#include "tools/graft/awaiting.h"

#include <fmt/format.h>

#include "tools/graft/json.h"
#include "tools/graft/session.h"
#include "tools/graft/terminal.h"

namespace graft::tool {
namespace {

constexpr u64 kPatienceNs = 500'000'000;   // then a person is told what the transition waits for
constexpr u64 kWayBackNs = 2'000'000'000;  // after a deadline: then the way back is taken to be held

// What is printed about a change: each record as it comes, or all of them as one JSON document at the end.
class Narrator {
public:
    explicit Narrator(const Globals& globals) : globals_(globals) { json_.begin_array(); }

    void record(const HistoryRecord& record) {
        if (globals_.json) record.write(json_);
        if (globals_.json || globals_.quiet) return;
        fmt::print("{}: {}\n", printable(record.patch), printable(record.sentence()));
        std::fflush(stdout);
    }
    void finish() {
        if (globals_.json) fmt::print("{}\n", json_.end().text());
    }

private:
    const Globals& globals_;
    JsonWriter json_;
};

// One look at who holds the transition, for the person who waits.
Outcome<void> show_blocking(NinepClient& client, const std::string& patch, StatusLine& status) {
    auto values = GRAFT_TRY(client.read_attributes({"/livepatch/" + patch + "/blocking"}));
    std::vector<std::string> lines = lines_of(values[0].value_or(""));
    if (lines.empty()) {
        status.show(fmt::format("{}: in transition", patch));
        return {};
    }
    std::vector<std::string> columns = columns_of(lines[0]);
    std::string first =
        columns.size() > 2 ? fmt::format("{} ({}) in {}", columns[0], columns[1], columns[2]) : lines[0];
    status.show(printable(fmt::format("{}: waits for {} task{}: {}{}", patch, lines.size(),
                                      lines.size() == 1 ? "" : "s", first, lines.size() == 1 ? "" : ", …")));
    return {};
}

bool is_as_wanted(Wanted wanted, const std::string& event) {
    switch (wanted) {
        case Wanted::loaded:
            return event == "loaded" || event == "canary";
        case Wanted::promoted:
            return event == "loaded";
        case Wanted::unloaded:
            return event == "unloaded";
        case Wanted::rolled_back:
            return event == "rolled-back";
        case Wanted::out_of_force:
            return event != "loaded";
        case Wanted::any:
            break;
    }
    return true;
}

// Of a canary, that its share has moved is the end for whoever waits for it to come into force.
bool is_end(const HistoryRecord& record, Wanted wanted) {
    if (record.event == "canary") return wanted == Wanted::loaded || wanted == Wanted::any;
    return record.event == "loaded" || record.event == "unloaded" || record.event == "rolled-back";
}

// "task 7 (worker) in f+0x12", for each row of `blocking`.
std::string holders_of(const std::vector<std::string>& rows) {
    std::string text;
    for (const std::string& row : rows) {
        std::vector<std::string> columns = columns_of(row);
        columns.resize(3);
        text += fmt::format("{}task {} ({}) in {}", text.empty() ? "" : ", ", columns[0], columns[1], columns[2]);
    }
    return text;
}

// One wait for one outcome.
class Waiting {
public:
    Waiting(NinepClient& client, Follower& history, std::string patch, Wanted wanted, const Globals& globals)
        : client_(client),
          history_(history),
          patch_(std::move(patch)),
          wanted_(wanted),
          narrator_(globals),
          status_(!globals.quiet && !globals.json) {}

    Outcome<void> run() {
        auto ended = wait();
        narrator_.finish();
        return ended;
    }

private:
    Outcome<void> wait() {
        u64 look_at = now_ns() + kPatienceNs;
        for (;;) {
            u64 until = is_expired_ ? back_by_ : look_at;
            std::optional<std::string> line = GRAFT_TRY(history_.next(until));
            if (!line && is_expired_) return way_back_held();
            if (!line) {
                look_at = 0;
                GRAFT_CHECK(show_blocking(client_, patch_, status_));
                continue;
            }
            HistoryRecord record = parse_record(*line);
            if (record.patch != patch_) continue;
            narrator_.record(record);
            note(record);
            if (record.event == "stuck") return refused(fmt::format("{}: {}", patch_, printable(record.sentence())));
            if (is_end(record, wanted_)) return judge(record);
        }
    }

    void note(const HistoryRecord& record) {
        if (record.event == "expired") {
            is_expired_ = true;
            back_by_ = now_ns() + kWayBackNs;
        }
        if (record.event == "aborted" || record.event == "withdrawn") reason_ = record.field("reason");
        if (record.event == "fault") fault_ = record.sentence();
        if (record.event != "held") return;
        held_by_ += fmt::format("{}task {} ({}) in {}", held_by_.empty() ? "" : ", ", record.field("task"),
                                record.field("name"), record.field("function"));
    }

    Outcome<void> judge(const HistoryRecord& record) const {
        bool as_wanted = is_as_wanted(wanted_, record.event);
        if (is_expired_ && (!as_wanted || wanted_ == Wanted::any)) return timed_out(expiry() + ", and is reversed");
        if (as_wanted) return {};
        if (!fault_.empty()) return refused(fmt::format("{}: {}", patch_, printable(fault_)));
        std::string why = reason_.empty() ? "" : fmt::format(" ({})", printable(reason_));
        return refused(fmt::format("{}: the transition was reversed{}: now {}", patch_, why, record.event));
    }

    Outcome<void> way_back_held() {
        auto values = GRAFT_TRY(client_.read_attributes({"/livepatch/" + patch_ + "/blocking"}));
        std::string holders = holders_of(lines_of(values[0].value_or("")));
        return timed_out(
            printable(fmt::format("{}; the way back is held, too, by {}", expiry(), holders.empty() ? "?" : holders)));
    }

    std::string expiry() const {
        return printable(fmt::format("{}: the deadline passed, held by {}", patch_, held_by_));
    }

    NinepClient& client_;
    Follower& history_;
    std::string patch_;
    Wanted wanted_;
    Narrator narrator_;
    StatusLine status_;
    bool is_expired_ = false;
    u64 back_by_ = 0;
    std::string held_by_;
    std::string reason_;  // why the system itself has turned it
    std::string fault_;   // the last one
};

}  // namespace

Outcome<std::unique_ptr<Follower>> follow_history(NinepClient& client) {
    std::unique_ptr<Follower> history = GRAFT_TRY(Follower::open(client, "/history"));
    (void)GRAFT_TRY(history->catch_up());
    return history;
}

Outcome<void> await_outcome(NinepClient& client, Follower& history, const std::string& patch, Wanted wanted,
                            const Globals& globals) {
    return Waiting(client, history, patch, wanted, globals).run();
}

}  // namespace graft::tool
