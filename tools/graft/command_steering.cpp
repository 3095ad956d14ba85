// load, plan, unload, rollback, commit, reverse, nudge, force, wait: what changes the set of patches.
#include <charconv>
#include <filesystem>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/graft/awaiting.h"
#include "tools/graft/json.h"
#include "tools/graft/names.h"
#include "tools/graft/session.h"
#include "tools/graft/terminal.h"
#include "tools/patch/object.h"

namespace graft::tool {
namespace {

// ---- load -----------------------------------------------------------------------------------------------------------

struct LoadRequest {
    std::string file;
    std::string name;
    bool no_wait = false;
    bool allow_endless = false;
    bool allow_downgrade = false;
    std::string deadline = "30s";
    std::string probation = "none";
    std::string nudge_after = "none";
    std::string canary = "none";
    std::vector<std::string> abort_if;
};

// As the guest takes it: a whole number with a unit, or "none".
std::string guest_duration(const std::string& text) {
    if (text == "none") return text;
    auto duration = parse_duration(text);
    return fmt::format("{}ms", duration ? duration->count() : 0);
}

std::string check_duration_or_none(const std::string& text) {
    if (text == "none") return {};
    auto duration = parse_duration(text);
    if (duration && duration->count() > 0) return {};
    return text + ": neither a duration nor none";
}

void add_duration(CLI::App& command, const char* name, std::string& into, const char* description) {
    command.add_option(name, into, description)->type_name("T|none")->check(check_duration_or_none);
}

std::string options_of(const LoadRequest& request) {
    std::string options;
    if (request.allow_endless) options += "allow_endless=1\n";
    if (request.allow_downgrade) options += "allow_downgrade=1\n";
    if (request.deadline != "none") options += fmt::format("deadline={}\n", guest_duration(request.deadline));
    if (request.probation != "none") options += fmt::format("probation={}\n", guest_duration(request.probation));
    if (request.nudge_after != "none") options += fmt::format("nudge_after={}\n", guest_duration(request.nudge_after));
    if (request.canary != "none") options += fmt::format("canary={}\n", request.canary);
    for (const std::string& rule : request.abort_if) options += fmt::format("abort_if={}\n", rule);
    return options;
}

std::string check_canary(const std::string& text) {
    constexpr usize kMaxPattern = 64;
    bool is_word = text == "new" || text == "none";
    bool is_pattern = text.starts_with("tasks=") && text.size() > 6 && text.size() <= 6 + kMaxPattern &&
                      text.find('\n') == std::string::npos;
    if (is_word || is_pattern) return {};
    u32 percent = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
    bool is_share = error == std::errc() && std::string_view(end, text.data() + text.size()) == "%";
    if (is_share && percent >= 1 && percent <= 100) return {};
    return text + ": neither N% (1 to 100), tasks=PATTERN (at most 64 characters), new, nor none";
}

// The guest says what is wrong with a rule; only what would be another option is kept from it.
std::string check_rule(const std::string& text) {
    return text.find('\n') == std::string::npos ? "" : "a health rule is one line";
}

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
    if (!request.no_wait) history = GRAFT_TRY(follow_history(*client));
    if (std::string options = options_of(request); !options.empty())
        GRAFT_CHECK(client->write_file(fmt::format("/livepatch/{}.opt", name), std::as_bytes(std::span(options))));
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
    command->add_flag("--allow-downgrade", request->allow_downgrade, "Accept a lower version than the set has had");
    add_duration(*command, "--deadline", request->deadline,
                 "Turn round by itself what hasn't ended by then, exit code 5; default: 30s");
    add_duration(*command, "--probation", request->probation,
                 "Keep what it replaces, for so long, to be gone back to; default: none");
    command
        ->add_option(
            "--abort-if", request->abort_if,
            "As a canary and on probation, have the guest take the patch back by itself when more than N calls "
            "had a fault, or when 99 % of a changed function's new calls take more than FACTOR times as long "
            "as of its old ones (from 1000 calls of each on, and only with --canary); may be given up to "
            "four times")
        ->type_name("faults>N|p99>FACTORx")
        ->allow_extra_args(false)
        ->check(check_rule);
    add_duration(*command, "--nudge-after", request->nudge_after,
                 "Have tasks that hold the transition in an interruptible wait return from it, after this time and "
                 "after each further such time; default: none");
    command
        ->add_option("--canary", request->canary,
                     "Move only a share of the tasks, and hold the rest until `promote` or `reverse`: so many of "
                     "hundred, those whose names match (* any characters, ? one), or those born from now on; returns "
                     "when the share has moved. --deadline counts to that")
        ->type_name("N%|tasks=PATTERN|new|none")
        ->check(check_canary);
    command->callback(
        [&line, request] { line.action = [request](const Globals& globals) { return load(*request, globals); }; });
}

// ---- plan -----------------------------------------------------------------------------------------------------------

// The rows of /plan by their first column, and what their other columns are called.
const std::vector<std::string>& plan_columns(const std::string& kind) {
    static const std::map<std::string, std::vector<std::string>> kColumns = {
        {"patch", {"name", "set", "version", "description"}},
        {"replaces", {"patch"}},
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
    if (kind == "replaces") return "  takes the place of " + column(1);
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

// ---- steering -------------------------------------------------------------------------------------------------------

struct SteerRequest {
    std::string patch;
    bool no_wait = false;
    std::string deadline = "none";

    // What is written to an attribute that takes a deadline.
    std::string one() const {
        return deadline == "none" ? "1\n" : fmt::format("1 deadline={}\n", guest_duration(deadline));
    }
};

Outcome<void> write_attribute(NinepClient& client, const std::string& patch, const char* name, std::string_view value) {
    return client.write_file(fmt::format("/livepatch/{}/{}", patch, name), std::as_bytes(std::span(value)));
}

// Writes `value` to an attribute of the patch and waits for the transition's end.
Outcome<void> steer(NinepClient& client, const SteerRequest& request, const char* attribute_name,
                    std::string_view value, Wanted wanted, const Globals& globals) {
    std::unique_ptr<Follower> history = GRAFT_TRY(follow_history(client));
    GRAFT_CHECK(write_attribute(client, request.patch, attribute_name, value));
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
    return steer(*client, request, "unregister", request.one(), Wanted::unloaded, globals);
}

Outcome<void> rollback(const SteerRequest& request, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    (void)GRAFT_TRY(find_patch(*client, request.patch));
    return steer(*client, request, "rollback", request.one(), Wanted::rolled_back, globals);
}

Outcome<void> promote(const SteerRequest& request, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    PatchState patch = GRAFT_TRY(find_patch(*client, request.patch));
    if (!patch.canary.is_one() || patch.canary.stage == "promoted")
        return nothing_to_do(fmt::format("{}: no canary waits for its promotion", request.patch));
    return steer(*client, request, "promote", request.one(), Wanted::promoted, globals);
}

Outcome<void> commit(const SteerRequest& request, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    (void)GRAFT_TRY(find_patch(*client, request.patch));
    return write_attribute(*client, request.patch, "commit", "1\n");
}

// The patch whose name the transition's records bear: of two neighbours of a set the newer one.
Outcome<PatchState> subject_of(NinepClient& client, const PatchState& patch) {
    for (const PatchState& other : GRAFT_TRY(read_patches(client))) {
        if (other.in_transition && other.replaces == patch.name) return other;
    }
    return patch;
}

// The same for a patch that was named; nothing to do when no transition of its runs.
Outcome<PatchState> subject_in_transition(NinepClient& client, const std::string& name) {
    PatchState patch = GRAFT_TRY(find_patch(client, name));
    if (!patch.in_transition) return nothing_to_do(fmt::format("{}: no transition runs", name));
    return subject_of(client, patch);
}

Outcome<void> reverse(const SteerRequest& request, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    PatchState patch = GRAFT_TRY(subject_in_transition(*client, request.patch));
    SteerRequest subject{.patch = patch.name, .no_wait = request.no_wait};
    return steer(*client, subject, "transition", "0\n", patch.enabled ? Wanted::out_of_force : Wanted::loaded, globals);
}

Outcome<void> force(const SteerRequest& request, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    PatchState patch = GRAFT_TRY(subject_in_transition(*client, request.patch));
    SteerRequest subject{.patch = patch.name, .no_wait = request.no_wait};
    return steer(*client, subject, "force", "1\n", Wanted::any, globals);
}

// The patch whose transition is to be waited for: the named one, or the only one that is in transition.
Outcome<std::string> patch_in_transition(NinepClient& client, const std::string& name) {
    if (!name.empty()) {
        PatchState patch = GRAFT_TRY(find_patch(client, name));
        if (!patch.in_transition) return std::string();
        return GRAFT_TRY(subject_of(client, patch)).name;
    }
    for (const PatchState& patch : GRAFT_TRY(read_patches(client))) {
        if (patch.in_transition) return GRAFT_TRY(subject_of(client, patch)).name;
    }
    return std::string();
}

Outcome<void> nudge(u64 task, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    std::string name = GRAFT_TRY(patch_in_transition(*client, {}));
    if (name.empty()) return nothing_to_do("no transition runs");
    std::string value = fmt::format("{}\n", task);
    return client->write_file(fmt::format("/livepatch/{}/nudge", name), std::as_bytes(std::span(value)));
}

void define_nudge(CLI::App& app, CommandLine& line) {
    auto task = std::make_shared<u64>(0);
    CLI::App* command = app.add_subcommand(
        "nudge", "Have a task that holds the running transition in an interruptible wait return from it");
    command->add_option("TASK", *task, "The task's id, as `blocking` shows it")->required()->type_name("");
    command->callback(
        [&line, task] { line.action = [task](const Globals& globals) { return nudge(*task, globals); }; });
}

Outcome<void> wait(const SteerRequest& request, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    std::unique_ptr<Follower> history = GRAFT_TRY(follow_history(*client));
    std::string name = GRAFT_TRY(patch_in_transition(*client, request.patch));
    if (name.empty()) return {};
    // Nothing will happen to it by itself.
    if (GRAFT_TRY(find_patch(*client, name)).canary.is_held()) return {};
    return await_outcome(*client, *history, name, Wanted::any, globals);
}

struct Steering {
    const char* name;
    const char* description;
    Outcome<void> (*action)(const SteerRequest&, const Globals&);
    bool needs_patch = true;
    bool has_no_wait = true;
    bool has_deadline = false;
};

constexpr Steering kSteering[] = {
    {.name = "unload",
     .description = "Unregister a patch and wait until every task has left it",
     .action = unload,
     .has_deadline = true},
    {.name = "rollback",
     .description = "Go back from a patch on probation to what it replaced, and wait for the end",
     .action = rollback,
     .has_deadline = true},
    {.name = "promote",
     .description = "Let all tasks follow a canary's share, and wait until they have",
     .action = promote,
     .has_deadline = true},
    {.name = "commit",
     .description = "End a patch's probation: what it replaced is let go",
     .action = commit,
     .has_no_wait = false},
    {.name = "reverse",
     .description = "Turn a patch's running transition round, and wait for its end",
     .action = reverse},
    {.name = "force",
     .description =
         "Move every task that a patch's transition waits for, whatever it is in; taints the system for good",
     .action = force},
    {.name = "wait",
     .description = "Wait for the end of a transition, or a canary's share; without one, return at once",
     .action = wait,
     .needs_patch = false,
     .has_no_wait = false},
};

void define_steering(CLI::App& app, CommandLine& line, const Steering& steering) {
    auto request = std::make_shared<SteerRequest>();
    CLI::App* command = app.add_subcommand(steering.name, steering.description);
    command->add_option("PATCH", request->patch, "The patch's name")->required(steering.needs_patch)->type_name("");
    if (steering.has_no_wait)
        command->add_flag("--no-wait", request->no_wait, "Return as soon as the transition has started");
    if (steering.has_deadline)
        add_duration(*command, "--deadline", request->deadline,
                     "Turn round by itself what hasn't ended by then, exit code 5; default: none");
    auto action = steering.action;
    command->callback([&line, request, action] {
        line.action = [request, action](const Globals& globals) { return action(*request, globals); };
    });
}

}  // namespace

void define_patch_steering(CLI::App& app, CommandLine& line) {
    define_load(app, line);
    define_plan(app, line);
    for (const Steering& steering : kSteering) define_steering(app, line, steering);
    define_nudge(app, line);
}

}  // namespace graft::tool
