// list, status, blocking, history: what the system says about its patches.
#include <cstdlib>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/graft/history.h"
#include "tools/graft/json.h"
#include "tools/graft/names.h"
#include "tools/graft/session.h"
#include "tools/graft/terminal.h"

namespace graft::tool {
namespace {

void write_patch(JsonWriter& json, const PatchState& patch) {
    json.field("name", patch.name).field("state", patch.state()).field("enabled", patch.enabled);
    json.field("transition", patch.in_transition)
        .field("set", patch.set)
        .field("replaces", patch.replaces)
        .field("dormant", patch.dormant)
        .field("probation", patch.probation)
        .field("version", patch.version);
    json.field("description", patch.description).field("fixes", patch.fixes);
    json.field("built_from", patch.built_from).field("built_with", patch.built_with);
    json.field("signer", patch.signer).field("faults", patch.faults);
    if (!patch.canary.is_one()) return;
    json.key("canary").begin_object().field("share", patch.canary.share).field("moved", patch.canary.moved);
    json.field("chosen", patch.canary.chosen).field("total", patch.canary.total);
    json.field("stage", patch.canary.stage).field("age", patch.canary.age).end();
}

Outcome<void> list(const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    std::vector<PatchState> patches = GRAFT_TRY(read_patches(*client));
    if (globals.json) {
        JsonWriter json;
        json.begin_array();
        for (const PatchState& patch : patches) {
            json.begin_object();
            write_patch(json, patch);
            json.end();
        }
        fmt::print("{}\n", json.end().text());
        return {};
    }
    Table table({"PATCH", "STATE", "SET", "VERSION", "DESCRIPTION"});
    for (const PatchState& patch : patches)
        table.add({printable(patch.name), patch.state(), printable(patch.set), printable(patch.version),
                   printable(patch.description)});
    if (table.size() != 0)
        table.print();
    else if (!globals.quiet)
        fmt::print(stderr, "no patch is registered\n");
    return {};
}

// ---- status ---------------------------------------------------------------------------------------------------------

struct FunctionState {
    std::string name;  // "<linkage name>,<position>"
    std::string address, patched;
    std::vector<std::string> old_code, new_code;  // address and size
    // While calls are measured: of the old and the new version. Else without a column.
    std::vector<std::string> calls, faults;
    std::vector<std::vector<std::string>> latency;  // version, timed, least, mean, p99 in ns

    bool is_measured() const { return calls.size() == 2 && faults.size() == 2 && latency.size() == 2; }
};

std::string code_text(const std::vector<std::string>& code) {
    return code.size() < 2 ? code[0] : fmt::format("{} ({} bytes)", code[0], code[1]);
}

void write_code(JsonWriter& json, const char* name, const std::vector<std::string>& code) {
    json.key(name).begin_object().field("address", code[0]);
    json.field("size", code.size() < 2 ? "" : code[1]).end();
}

struct PatchDetails {
    PatchState state;
    std::vector<FunctionState> functions;
    std::vector<std::string> states;
    std::vector<std::string> blocking;
};

Outcome<std::vector<FunctionState>> read_functions(NinepClient& client, const std::string& patch) {
    std::string folder = fmt::format("/livepatch/{}/functions", patch);
    std::vector<FunctionState> functions;
    std::vector<std::string> paths;
    constexpr const char* kFiles[] = {"address", "patched", "old", "new", "calls", "faults", "latency"};
    for (const DirectoryEntry& entry : GRAFT_TRY(client.list(folder))) {
        functions.emplace_back().name = entry.name;
        for (const char* each : kFiles) paths.push_back(fmt::format("{}/{}/{}", folder, entry.name, each));
    }
    auto values = GRAFT_TRY(client.read_attributes(paths));
    for (usize i = 0; i < functions.size(); ++i) {
        auto* found = &values[std::size(kFiles) * i];
        functions[i].address = attribute(found[0]);
        functions[i].patched = attribute(found[1]);
        functions[i].old_code = columns_of(attribute(found[2]));
        functions[i].new_code = columns_of(attribute(found[3]));
        functions[i].calls = columns_of(attribute(found[4]));
        functions[i].faults = columns_of(attribute(found[5]));
        for (const std::string& line : lines_of(found[6].value_or(""))) {
            functions[i].latency.push_back(columns_of(line));
            functions[i].latency.back().resize(5);
        }
    }
    return functions;
}

Outcome<PatchDetails> read_details(NinepClient& client, const std::string& name) {
    std::vector<PatchState> found = GRAFT_TRY(read_patches(client, {name}));
    if (found.empty()) return refused(fmt::format("{}: no such patch is registered", name));
    PatchDetails details{.state = found[0], .functions = {}, .states = {}, .blocking = {}};
    details.functions = GRAFT_TRY(read_functions(client, name));
    auto lists =
        GRAFT_TRY(client.read_attributes({"/livepatch/" + name + "/blocking", "/livepatch/" + name + "/states"}));
    details.blocking = lines_of(lists[0].value_or(""));
    details.states = lines_of(lists[1].value_or(""));
    return details;
}

void write_blocking(JsonWriter& json, const std::vector<std::string>& lines) {
    constexpr const char* kColumns[] = {"task", "name", "function", "frame", "since"};
    json.begin_array();
    for (const std::string& line : lines) {
        std::vector<std::string> columns = columns_of(line);
        json.begin_object();
        for (usize i = 0; i < columns.size() && i < std::size(kColumns); ++i) json.field(kColumns[i], columns[i]);
        json.end();
    }
    json.end();
}

void print_blocking(const std::vector<std::string>& lines) {
    Table table({"TASK", "NAME", "FUNCTION", "FRAME", "SINCE"});
    for (const std::string& line : lines) {
        std::vector<std::string> columns = columns_of(line);
        for (std::string& column : columns) column = printable(column);
        table.add(std::move(columns));
    }
    table.print();
}

void write_states(JsonWriter& json, const std::vector<std::string>& lines) {
    json.begin_array();
    for (const std::string& line : lines) {
        std::vector<std::string> columns = columns_of(line);
        columns.resize(6);
        json.begin_object().field("id", columns[0]).field("version", columns[1]).field("owner", columns[2]);
        json.field("name", columns[3]).field("stage", columns[4]).field("irreversible", !columns[5].empty()).end();
    }
    json.end();
}

void print_states(const std::vector<std::string>& lines) {
    Table table({"STATE", "ID", "VERSION", "OWNER", "STAGE"});
    for (const std::string& line : lines) {
        std::vector<std::string> columns = columns_of(line);
        columns.resize(6);
        for (std::string& column : columns) column = printable(column);
        std::string stage = columns[5].empty() ? columns[4] : columns[4] + ", irreversible";
        table.add({columns[3], columns[0], columns[1], columns[2].empty() ? "-" : columns[2], stage});
    }
    table.print();
}

void write_measured(JsonWriter& json, const FunctionState& function) {
    if (!function.is_measured()) return;
    json.key("measured").begin_object();
    for (usize i = 0; i < function.latency.size(); ++i) {
        const std::vector<std::string>& latency = function.latency[i];
        json.key(latency[0]).begin_object().field("calls", function.calls[i]).field("faults", function.faults[i]);
        json.field("timed", latency[1]).field("min_ns", latency[2]).field("mean_ns", latency[3]);
        json.field("p99_ns", latency[4]).end();
    }
    json.end();
}

std::string microseconds(const std::string& ns, const std::string& timed) {
    return timed == "0" ? "-" : fmt::format("{:.1f} us", std::strtod(ns.c_str(), nullptr) / 1000);
}

void print_measured(const std::vector<FunctionState>& functions) {
    Table table({"FUNCTION", "VERSION", "CALLS", "FAULTS", "MIN", "MEAN", "P99"});
    bool is_any = false;
    for (const FunctionState& function : functions) {
        if (!function.is_measured()) continue;
        is_any = true;
        for (usize i = 0; i < function.latency.size(); ++i) {
            const std::vector<std::string>& latency = function.latency[i];
            table.add({printable(readable_name(function.name)), printable(latency[0]), printable(function.calls[i]),
                       printable(function.faults[i]), microseconds(latency[2], latency[1]),
                       microseconds(latency[3], latency[1]), microseconds(latency[4], latency[1])});
        }
    }
    if (!is_any) return;
    fmt::print("\n");
    table.print();
}

void write_details(JsonWriter& json, const PatchDetails& details) {
    json.begin_object();
    write_patch(json, details.state);
    json.key("functions").begin_array();
    for (const FunctionState& function : details.functions) {
        json.begin_object().field("name", function.name).field("address", function.address);
        json.field("patched", function.patched == "1");
        write_code(json, "old", function.old_code);
        write_code(json, "new", function.new_code);
        write_measured(json, function);
        json.end();
    }
    json.end().key("states");
    write_states(json, details.states);
    json.key("blocking");
    write_blocking(json, details.blocking);
    json.end();
}

void print_details(const PatchDetails& details) {
    const PatchState& patch = details.state;
    fmt::print("{}: {}\n", printable(patch.name), patch.state());
    if (!patch.faults.empty() && patch.faults != "0") fmt::print("  {:<12} {}\n", "faults", printable(patch.faults));
    const std::pair<const char*, const std::string&> kTexts[] = {{"set", patch.set},
                                                                 {"replaces", patch.replaces},
                                                                 {"dormant", patch.dormant},
                                                                 {"probation", patch.probation},
                                                                 {"version", patch.version},
                                                                 {"description", patch.description},
                                                                 {"fixes", patch.fixes},
                                                                 {"built from", patch.built_from},
                                                                 {"built with", patch.built_with},
                                                                 {"signer", patch.signer}};
    for (const auto& [name, text] : kTexts) {
        if (!text.empty()) fmt::print("  {:<12} {}\n", name, printable(text));
    }
    if (patch.canary.is_one()) fmt::print("  {:<12} {}\n", "canary", printable(patch.canary.sentence()));
    for (const FunctionState& function : details.functions)
        fmt::print("  {:<12} {}: {} -> {}\n", function.patched == "1" ? "patched" : "function",
                   printable(readable_name(function.name)), printable(code_text(function.old_code)),
                   printable(code_text(function.new_code)));
    print_measured(details.functions);
    if (!details.states.empty()) {
        fmt::print("\n");
        print_states(details.states);
    }
    if (!details.blocking.empty()) {
        fmt::print("  held by:\n");
        print_blocking(details.blocking);
    }
}

Outcome<void> status_of_system(NinepClient& client, const Globals& globals) {
    auto values = GRAFT_TRY(client.read_attributes({"/version", "/tainted"}));
    std::vector<std::string> names = GRAFT_TRY(patch_names(client));
    std::vector<std::string> lingering;
    for (const DirectoryEntry& entry : GRAFT_TRY(client.list("/lingering"))) lingering.push_back(entry.name);
    std::vector<PatchDetails> patches;
    for (const std::string& name : names) {
        auto details = read_details(client, name);
        if (!details && details.error().code != ExitCode::refused) return std::unexpected(details.error());
        if (details) patches.push_back(std::move(*details));
    }
    if (globals.json) {
        JsonWriter json;
        json.begin_object().field("version", attribute(values[0])).field("tainted", attribute(values[1]));
        json.key("patches").begin_array();
        for (const PatchDetails& patch : patches) write_details(json, patch);
        json.end().key("lingering").begin_array();
        for (const std::string& name : lingering) json.value(name);
        fmt::print("{}\n", json.end().end().text());
        return {};
    }
    for (const std::string& line : lines_of(attribute(values[0]))) fmt::print("{}\n", printable(line));
    fmt::print("tainted: {}\n", printable(attribute(values[1])));
    if (patches.empty()) fmt::print("no patch is registered\n");
    for (const PatchDetails& patch : patches) print_details(patch);
    for (const std::string& name : lingering)
        fmt::print("{}: lingering, something still points into it\n", printable(name));
    return {};
}

Outcome<void> status(const std::string& patch, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    if (patch.empty()) return status_of_system(*client, globals);
    PatchDetails details = GRAFT_TRY(read_details(*client, patch));
    if (!globals.json) {
        print_details(details);
        return {};
    }
    JsonWriter json;
    write_details(json, details);
    fmt::print("{}\n", json.text());
    return {};
}

// ---- blocking, history ----------------------------------------------------------------------------------------------

Outcome<void> blocking(const std::string& patch, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    std::vector<std::string> names{patch};
    if (patch.empty()) names = GRAFT_TRY(patch_names(*client));
    std::vector<std::string> lines;
    for (const std::string& name : names) {
        std::string path = fmt::format("/livepatch/{}/blocking", name);
        auto content = client->read_file(path);
        if (!content && (!patch.empty() || content.error().code != ExitCode::refused))
            return std::unexpected(content.error());
        if (!content) continue;  // the patch has gone meanwhile
        for (std::string& line : lines_of(*content)) lines.push_back(std::move(line));
    }
    if (globals.json) {
        JsonWriter json;
        write_blocking(json, lines);
        fmt::print("{}\n", json.text());
    } else if (!lines.empty()) {
        print_blocking(lines);
    } else if (!globals.quiet) {
        fmt::print(stderr, "no task holds a transition\n");
    }
    return {};
}

void print_record(const std::string& line, const Globals& globals, JsonWriter& json) {
    HistoryRecord record = parse_record(line);
    if (globals.json)
        record.write(json);
    else
        fmt::print("{:>6}  {:>12}  {}: {}\n", record.number, record.seconds, printable(record.patch),
                   printable(record.sentence()));
}

Outcome<void> history(bool follow, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    std::unique_ptr<Follower> follower = GRAFT_TRY(Follower::open(*client, "/history"));
    JsonWriter json;
    if (!follow) json.begin_array();
    for (const std::string& line : GRAFT_TRY(follower->catch_up())) {
        JsonWriter one;
        print_record(line, globals, follow ? one : json);
        if (follow && globals.json) fmt::print("{}\n", one.text());
    }
    if (!follow) {
        if (globals.json) fmt::print("{}\n", json.end().text());
        return {};
    }
    for (;;) {
        std::fflush(stdout);
        std::optional<std::string> line = GRAFT_TRY(follower->next());
        JsonWriter one;
        print_record(*line, globals, one);
        if (globals.json) fmt::print("{}\n", one.text());
    }
}

}  // namespace

void define_observing(CLI::App& app, CommandLine& line) {
    CLI::App* list_command = app.add_subcommand("list", "List the registered patches");
    list_command->callback([&line] { line.action = list; });

    for (auto [name, description, action] :
         {std::tuple{"status", "Show one patch in full, or the system and all patches", &status},
          std::tuple{"blocking", "Show the tasks that hold a transition, and where they are", &blocking}}) {
        auto patch = std::make_shared<std::string>();
        CLI::App* command = app.add_subcommand(name, description);
        command->add_option("PATCH", *patch, "The patch's name; default: all")->type_name("");
        command->callback([&line, patch, action = action] {
            line.action = [patch, action](const Globals& globals) { return action(*patch, globals); };
        });
    }

    auto follow = std::make_shared<bool>(false);
    CLI::App* history_command = app.add_subcommand("history", "Show what has happened to patches since boot");
    history_command->add_flag("-f,--follow", *follow, "Go on with each record as it comes");
    history_command->callback(
        [&line, follow] { line.action = [follow](const Globals& globals) { return history(*follow, globals); }; });
}

}  // namespace graft::tool
