// What happens to patches, as the guest tells it in /history: one record a line, columns separated by tabs: number,
// seconds since boot, event, patch, then key=value. Reading at the end waits, so nobody polls.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/graft/json.h"
#include "tools/graft/ninep_client.h"

namespace graft::tool {

struct HistoryRecord {
    std::string number;
    std::string seconds;
    std::string event;
    std::string patch;
    std::vector<std::pair<std::string, std::string>> fields;

    // Empty when there is no such field.
    std::string field(std::string_view name) const;
    // One line for people: "loaded in 0.012 s: moved by walk 5, interrupt 2".
    std::string sentence() const;
    void write(JsonWriter& json) const;
};

HistoryRecord parse_record(std::string_view line);

// A file that grows and whose read at the end waits: /history, /log.
class Follower {
public:
    // The client must outlive it.
    static Outcome<std::unique_ptr<Follower>> open(NinepClient& client, std::string path);

    // All whole lines up to the present end; then a read waits in the guest for more.
    Outcome<std::vector<std::string>> catch_up();
    // The next line, waited for; nothing when `until_ns` came first (0 = never).
    Outcome<std::optional<std::string>> next(u64 until_ns = 0);

private:
    Follower(NinepClient& client, std::string path, Fid fid);

    void submit_read();
    Outcome<void> take_read();

    NinepClient& client_;
    std::string path_;
    Fid fid_;
    Tag read_ = 0;
    u64 offset_ = 0;
    std::string partial_;
    std::deque<std::string> lines_;
};

}  // namespace graft::tool
