// load, plan, unload, reverse, wait: what changes the set of patches, and waiting for the end of it.
//
// Nothing is polled. Whoever will want the outcome reads /history to its end first, so that the record that names the
// outcome cannot be missed, makes the change, and then waits for that record.
#include <filesystem>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/graft/history.h"
#include "tools/graft/json.h"
#include "tools/graft/names.h"
#include "tools/graft/session.h"
#include "tools/graft/terminal.h"
#include "tools/patch/object.h"

namespace graft::tool {
namespace {

constexpr u64 kPatienceNs = 500'000'000;  // then a person is told what the transition waits for

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

enum class Wanted { loaded, unloaded, either };

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

Outcome<void> await_outcome(NinepClient& client, Follower& history, const std::string& patch, Wanted wanted,
                            const Globals& globals) {
    Narrator narrator(globals);
    StatusLine status(!globals.quiet && !globals.json);
    u64 patience = now_ns() + kPatienceNs;
    for (;;) {
        std::optional<std::string> line = GRAFT_TRY(history.next(patience));
        if (!line) {
            patience = 0;
            GRAFT_CHECK(show_blocking(client, patch, status));
            continue;
        }
        HistoryRecord record = parse_record(*line);
        if (record.patch != patch) continue;
        narrator.record(record);
        if (record.event == "stuck") {
            narrator.finish();
            return refused(fmt::format("{}: {}", patch, printable(record.sentence())));
        }
        if (record.event != "loaded" && record.event != "unloaded") continue;
        narrator.finish();
        bool as_wanted = wanted == Wanted::either || record.event == (wanted == Wanted::loaded ? "loaded" : "unloaded");
        if (as_wanted) return {};
        return refused(fmt::format("{}: the transition was reversed: now {}", patch, record.event));
    }
}

// ---- load -----------------------------------------------------------------------------------------------------------

struct LoadRequest {
    std::string file;
    std::string name;
    bool no_wait = false;
    bool allow_endless = false;
};

// As it was said, else as the patch calls itself, else as the file is called: what isn't a patch is sent all the same,
// and refused by the guest with its reason.
std::string patch_name(const LoadRequest& request, std::span<const std::byte> bytes) {
    if (!request.name.empty()) return request.name;
    std::string declared = declared_patch_name(bytes);
    return declared.empty() ? std::filesystem::path(request.file).stem().string() : declared;
}

Outcome<void> load(const LoadRequest& request, const Globals& globals) {
    auto bytes = tools::read_file(request.file);
    if (!bytes) return refused(bytes.error().text);
    std::string name = patch_name(request, *bytes);
    auto client = GRAFT_TRY(attach(globals));
    if (GRAFT_TRY(client->exists("/livepatch/" + name)))
        return nothing_to_do(fmt::format("{}: a patch of this name is registered already", name));

    std::unique_ptr<Follower> history;
    if (!request.no_wait) {
        history = GRAFT_TRY(Follower::open(*client, "/history"));
        (void)GRAFT_TRY(history->catch_up());
    }
    if (request.allow_endless) {
        std::string_view option = "allow_endless=1\n";
        GRAFT_CHECK(client->write_file(fmt::format("/livepatch/{}.opt", name), std::as_bytes(std::span(option))));
    }
    {
        ProgressBar bar("sending " + name, !globals.quiet && !globals.json);
        GRAFT_CHECK(
            client->upload("/livepatch", name + ".klp", *bytes, [&](u64 done, u64 total) { bar.update(done, total); }));
    }
    if (request.no_wait) return {};
    return await_outcome(*client, *history, name, Wanted::loaded, globals);
}

void define_load(CLI::App& app, CommandLine& line) {
    auto request = std::make_shared<LoadRequest>();
    CLI::App* command =
        app.add_subcommand("load", "Send a patch, register it, and wait until every task has moved to it");
    command->add_option("FILE", request->file, "The patch, a .klp file")->required()->type_name("");
    command->add_option("--name", request->name, "Register it under this name; default: its own")->type_name("NAME");
    command->add_flag("--no-wait", request->no_wait, "Return as soon as the transition has started");
    command->add_flag("--allow-endless", request->allow_endless, "Accept functions that never return");
    command->callback(
        [&line, request] { line.action = [request](const Globals& globals) { return load(*request, globals); }; });
}

// ---- plan -----------------------------------------------------------------------------------------------------------

// The rows of /plan by their first column, and what their other columns are called.
const std::vector<std::string>& plan_columns(const std::string& kind) {
    static const std::map<std::string, std::vector<std::string>> kColumns = {
        {"patch", {"name", "set", "version", "description"}},
        {"memory", {"bytes"}},
        {"function", {"name", "address", "old_size", "new_size"}},
        {"hold", {"name", "address", "size"}},
        {"state", {"id", "version", "name", "irreversible"}},
        {"holder", {"task", "why"}},
        {"refused", {"reason"}}};
    static const std::vector<std::string> kNone;
    auto found = kColumns.find(kind);
    return found == kColumns.end() ? kNone : found->second;
}

void write_plan_row(JsonWriter& json, const std::vector<std::string>& columns) {
    const std::vector<std::string>& names = plan_columns(columns[0]);
    json.begin_object().field("kind", columns[0]);
    for (usize i = 1; i < columns.size() && i <= names.size(); ++i) json.field(names[i - 1], columns[i]);
    json.end();
}

std::string plan_sentence(const std::vector<std::string>& columns) {
    auto column = [&](usize index) { return index < columns.size() ? columns[index] : std::string(); };
    const std::string& kind = columns[0];
    if (kind == "patch") return fmt::format("patch {}, set {}: {}", column(1), column(2), column(4));
    if (kind == "memory") return fmt::format("  takes {} bytes", column(1));
    if (kind == "function")
        return fmt::format("  replaces {} at {}: {} bytes -> {}", readable_name(column(1)), column(2), column(3),
                           column(4));
    if (kind == "hold") return fmt::format("  holds {} at {}", readable_name(column(1)), column(2));
    if (kind == "state")
        return fmt::format("  has state {} ({}), version {}{}", column(3), column(1), column(2),
                           column(4).empty() ? "" : ", irreversible");
    if (kind == "holder") return fmt::format("  would wait for task {}: {}", column(1), column(2));
    if (kind == "refused") return "  refused: " + column(1);
    return fmt::format("{}", fmt::join(columns, " "));
}

Outcome<void> plan(const std::string& file, const Globals& globals) {
    auto bytes = tools::read_file(file);
    if (!bytes) return refused(bytes.error().text);
    auto client = GRAFT_TRY(attach(globals));
    std::string answer;
    {
        ProgressBar bar("sending " + file, !globals.quiet && !globals.json);
        answer = GRAFT_TRY(client->ask("/plan", *bytes, [&](u64 done, u64 total) { bar.update(done, total); }));
    }
    bool fits = true;
    JsonWriter json;
    json.begin_array();
    for (const std::string& row : lines_of(answer)) {
        std::vector<std::string> columns = columns_of(row);
        if (columns[0] == "refused") fits = false;
        write_plan_row(json, columns);
        if (!globals.json) fmt::print("{}\n", printable(plan_sentence(columns)));
    }
    if (globals.json) fmt::print("{}\n", json.end().text());
    if (!fits) return refused(fmt::format("{}: would be refused", file));
    return {};
}

void define_plan(CLI::App& app, CommandLine& line) {
    auto file = std::make_shared<std::string>();
    CLI::App* command = app.add_subcommand("plan", "Ask what loading a patch would do; nothing is changed");
    command->add_option("FILE", *file, "The patch, a .klp file")->required()->type_name("");
    command->callback([&line, file] { line.action = [file](const Globals& globals) { return plan(*file, globals); }; });
}

// ---- unload, reverse, wait ------------------------------------------------------------------------------------------

struct SteerRequest {
    std::string patch;
    bool no_wait = false;
};

// Writes `value` to an attribute of the patch and waits for the transition's end.
Outcome<void> steer(NinepClient& client, const SteerRequest& request, const char* attribute_name,
                    std::string_view value, Wanted wanted, const Globals& globals) {
    std::unique_ptr<Follower> history = GRAFT_TRY(Follower::open(client, "/history"));
    (void)GRAFT_TRY(history->catch_up());
    GRAFT_CHECK(client.write_file(fmt::format("/livepatch/{}/{}", request.patch, attribute_name),
                                  std::as_bytes(std::span(value))));
    if (request.no_wait) return {};
    return await_outcome(client, *history, request.patch, wanted, globals);
}

Outcome<PatchState> find_patch(NinepClient& client, const std::string& name) {
    std::vector<PatchState> found = GRAFT_TRY(read_patches(client, {name}));
    if (found.empty()) return nothing_to_do(fmt::format("{}: no such patch is registered", name));
    return found[0];
}

Outcome<void> unload(const SteerRequest& request, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    PatchState patch = GRAFT_TRY(find_patch(*client, request.patch));
    if (patch.in_transition && !patch.enabled) {
        if (request.no_wait) return nothing_to_do(fmt::format("{}: is being unloaded already", request.patch));
    }
    return steer(*client, request, "unregister", "1\n", Wanted::unloaded, globals);
}

Outcome<void> reverse(const SteerRequest& request, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    PatchState patch = GRAFT_TRY(find_patch(*client, request.patch));
    if (!patch.in_transition) return nothing_to_do(fmt::format("{}: no transition runs", request.patch));
    return steer(*client, request, "transition", "0\n", patch.enabled ? Wanted::unloaded : Wanted::loaded, globals);
}

// The patch whose transition is to be waited for: the named one, or the only one that is in transition.
Outcome<std::string> patch_in_transition(NinepClient& client, const std::string& name) {
    if (!name.empty()) {
        PatchState patch = GRAFT_TRY(find_patch(client, name));
        return patch.in_transition ? name : std::string();
    }
    for (const PatchState& patch : GRAFT_TRY(read_patches(client))) {
        if (patch.in_transition) return patch.name;
    }
    return std::string();
}

Outcome<void> wait(const SteerRequest& request, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    std::unique_ptr<Follower> history = GRAFT_TRY(Follower::open(*client, "/history"));
    (void)GRAFT_TRY(history->catch_up());
    std::string name = GRAFT_TRY(patch_in_transition(*client, request.patch));
    if (name.empty()) return {};
    return await_outcome(*client, *history, name, Wanted::either, globals);
}

void define_steering(CLI::App& app, CommandLine& line, const char* name, const char* description, bool patch_required,
                     bool has_no_wait, Outcome<void> (*action)(const SteerRequest&, const Globals&)) {
    auto request = std::make_shared<SteerRequest>();
    CLI::App* command = app.add_subcommand(name, description);
    command->add_option("PATCH", request->patch, "The patch's name")->required(patch_required)->type_name("");
    if (has_no_wait) command->add_flag("--no-wait", request->no_wait, "Return as soon as the transition has started");
    command->callback([&line, request, action] {
        line.action = [request, action](const Globals& globals) { return action(*request, globals); };
    });
}

}  // namespace

void define_patch_steering(CLI::App& app, CommandLine& line) {
    define_load(app, line);
    define_plan(app, line);
    define_steering(app, line, "unload", "Unregister a patch and wait until every task has left it", true, true,
                    unload);
    define_steering(app, line, "reverse", "Turn a patch's running transition round, and wait for its end", true, true,
                    reverse);
    define_steering(app, line, "wait", "Wait for the end of a transition; without one, return at once", false, false,
                    wait);
}

}  // namespace graft::tool
