// log, tasks, metrics, ls, cat, write: the control tree as it is.
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/graft/history.h"
#include "tools/graft/json.h"
#include "tools/graft/session.h"
#include "tools/graft/terminal.h"

namespace graft::tool {
namespace {

void print_line(const std::string& line, const Globals& globals) {
    if (!globals.json) {
        fmt::print("{}\n", printable(line));
        return;
    }
    JsonWriter json;
    fmt::print("{}\n", json.value(line).text());  // one string a line: an endless list has no end
}

Outcome<void> log(bool follow, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    std::unique_ptr<Follower> follower = GRAFT_TRY(Follower::open(*client, "/log"));
    for (const std::string& line : GRAFT_TRY(follower->catch_up())) print_line(line, globals);
    while (follow) {
        std::fflush(stdout);
        std::optional<std::string> line = GRAFT_TRY(follower->next());
        print_line(*line, globals);
    }
    return {};
}

std::string last_move(const std::string& line) {
    std::vector<std::string> columns = columns_of(line);
    return printable(columns.size() < 2 ? line : fmt::format("by {} at {} s", columns[1], columns[0]));
}

void write_moves(JsonWriter& json, const std::vector<std::string>& lines) {
    constexpr const char* kColumns[] = {"seconds", "cause", "universe"};
    json.key("moves").begin_array();
    for (const std::string& line : lines) {
        std::vector<std::string> columns = columns_of(line);
        json.begin_object();
        for (usize i = 0; i < columns.size() && i < std::size(kColumns); ++i) json.field(kColumns[i], columns[i]);
        json.end();
    }
    json.end();
}

Outcome<void> tasks(const Globals& globals) {
    constexpr const char* kAttributes[] = {"name", "state", "cpu", "priority", "patch_state", "moves"};
    constexpr usize kMoves = 5;
    auto client = GRAFT_TRY(attach(globals));
    std::vector<std::string> ids;
    for (const DirectoryEntry& entry : GRAFT_TRY(client->list("/tasks"))) ids.push_back(entry.name);
    std::vector<std::string> paths;
    for (const std::string& id : ids) {
        for (const char* each : kAttributes) paths.push_back(fmt::format("/tasks/{}/{}", id, each));
    }
    auto values = GRAFT_TRY(client->read_attributes(paths));

    Table table({"TASK", "NAME", "STATE", "CPU", "PRIORITY", "PATCH STATE", "LAST MOVE"});
    JsonWriter json;
    json.begin_array();
    for (usize i = 0; i < ids.size(); ++i) {
        const auto* value = &values[i * std::size(kAttributes)];
        if (!value[0]) continue;  // it has ended meanwhile
        std::vector<std::string> row{ids[i]};
        json.begin_object().field("task", ids[i]);
        for (usize column = 0; column < kMoves; ++column) {
            row.push_back(printable(attribute(value[column])));
            json.field(kAttributes[column], attribute(value[column]));
        }
        std::vector<std::string> moves = lines_of(attribute(value[kMoves]));
        row.push_back(moves.empty() ? "" : last_move(moves.back()));
        write_moves(json, moves);
        json.end();
        table.add(std::move(row));
    }
    if (globals.json)
        fmt::print("{}\n", json.end().text());
    else
        table.print();
    return {};
}

Outcome<void> ls(const std::string& path, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    std::vector<DirectoryEntry> entries = GRAFT_TRY(client->list(path));
    JsonWriter json;
    json.begin_array();
    for (const DirectoryEntry& entry : entries) {
        json.begin_object().field("name", entry.name).field("directory", entry.directory);
        json.field("length", entry.length).end();
        if (!globals.json) fmt::print("{}{}\n", printable(entry.name), entry.directory && !globals.quiet ? "/" : "");
    }
    if (globals.json) fmt::print("{}\n", json.end().text());
    return {};
}

Outcome<void> cat(const std::vector<std::string>& paths, const Globals& globals) {
    auto client = GRAFT_TRY(attach(globals));
    JsonWriter json;
    json.begin_object();
    for (const std::string& path : paths) {
        std::string content = GRAFT_TRY(client->read_snapshot(path));
        if (globals.json)
            json.field(path, content);
        else
            std::cout.write(content.data(), static_cast<std::streamsize>(content.size()));
    }
    if (globals.json) std::cout << json.end().text() << '\n';
    std::cout.flush();
    return {};
}

struct WriteRequest {
    std::string path;
    std::optional<std::string> text;
};

Outcome<void> write(const WriteRequest& request, const Globals& globals) {
    std::string bytes;
    if (request.text)
        bytes = *request.text + "\n";
    else
        bytes.assign(std::istreambuf_iterator<char>(std::cin), {});
    auto client = GRAFT_TRY(attach(globals));
    return client->write_file(request.path, std::as_bytes(std::span(bytes)));
}

}  // namespace

void define_tree(CLI::App& app, CommandLine& line) {
    auto follow = std::make_shared<bool>(false);
    CLI::App* log_command = app.add_subcommand("log", "Show the kernel's log");
    log_command->add_flag("-f,--follow", *follow, "Go on with each line as it comes");
    log_command->callback(
        [&line, follow] { line.action = [follow](const Globals& globals) { return log(*follow, globals); }; });

    app.add_subcommand("tasks", "List the tasks")->callback([&line] { line.action = tasks; });

    app.add_subcommand("metrics", "Show the counters, in Prometheus' text format")->callback([&line] {
        line.action = [](const Globals& globals) { return cat({"/metrics"}, globals); };
    });

    auto folder = std::make_shared<std::string>("/");
    CLI::App* ls_command = app.add_subcommand("ls", "List a folder of the control tree");
    ls_command->add_option("PATH", *folder, "The folder")->type_name("")->capture_default_str();
    ls_command->callback(
        [&line, folder] { line.action = [folder](const Globals& globals) { return ls(*folder, globals); }; });

    auto paths = std::make_shared<std::vector<std::string>>();
    CLI::App* cat_command = app.add_subcommand("cat", "Print files of the control tree");
    cat_command->add_option("PATH", *paths, "The files")->required()->type_name("");
    cat_command->callback(
        [&line, paths] { line.action = [paths](const Globals& globals) { return cat(*paths, globals); }; });

    auto request = std::make_shared<WriteRequest>();
    CLI::App* write_command = app.add_subcommand("write", "Write to a file of the control tree");
    write_command->add_option("PATH", request->path, "The file")->required()->type_name("");
    write_command->add_option("TEXT", request->text, "What to write, as one line; default: standard input")
        ->type_name("");
    write_command->callback(
        [&line, request] { line.action = [request](const Globals& globals) { return write(*request, globals); }; });
}

}  // namespace graft::tool
