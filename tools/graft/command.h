// What the commands share: the global options, and how a command defines itself.
//
// Each define_*() adds one or more subcommands to the command line; parsing one of them puts what it does into
// `CommandLine::action`. Help, completion and the manual page are generated from the same definitions.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "tools/graft/deadline.h"
#include "tools/graft/failure.h"

namespace CLI {
class App;
}

namespace graft::tool {

struct Globals {
    std::string connect;
    bool json = false;
    bool quiet = false;
    std::optional<Milliseconds> timeout;

    Deadline deadline() const { return Deadline::after(timeout); }
};

struct CommandLine {
    Globals globals;
    std::function<Outcome<void>(const Globals&)> action;
};

void define_globals(CLI::App& app, CommandLine& line);
void define_run(CLI::App& app, CommandLine& line);
void define_inspect(CLI::App& app, CommandLine& line);
void define_build(CLI::App& app, CommandLine& line);
void define_signing(CLI::App& app, CommandLine& line);  // keygen, sign
void define_bake(CLI::App& app, CommandLine& line);
// load, plan, unload, rollback, commit, reverse, nudge, force, wait
void define_patch_steering(CLI::App& app, CommandLine& line);
void define_observing(CLI::App& app, CommandLine& line);      // list, status, blocking, history
void define_tree(CLI::App& app, CommandLine& line);           // log, tasks, metrics, ls, cat, write
void define_documentation(CLI::App& app, CommandLine& line);  // completion, man

// The name that a patch file carries; empty when it can't be read.
std::string declared_patch_name(std::span<const std::byte> bytes);

// Checks and converts the text of an option that is a duration (see deadline.h).
std::string check_duration(const std::string& text);

}  // namespace graft::tool
