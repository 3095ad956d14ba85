// graft: the host command of the system. Boots an image, loads patches into it, watches and steers it over the serial
// link.
#include <cstdio>
#include <system_error>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "formats/release.h"
#include "tools/graft/command.h"

namespace graft::tool {
namespace {

int report(const Failure& failure) {
    std::fflush(stdout);
    fmt::print(stderr, "graft: {}\n", failure.text);
    return static_cast<int>(failure.code);
}

int run(int argc, char** argv) {
    CLI::App app("Patches a running Graft image, boots one, and shows what it does.", "graft");
    CommandLine line;
    app.require_subcommand(1);
    app.fallthrough();
    app.set_version_flag("--version", fmt::format("graft {}", formats::kRelease), "Prints the release and ends");
    app.footer("Exit codes: 0 done, 1 refused, 2 usage, 3 nothing to do, 4 no connection, 5 timed out.");
    define_globals(app, line);
    define_run(app, line);
    define_inspect(app, line);
    define_build(app, line);
    define_signing(app, line);
    define_bake(app, line);
    define_patch_steering(app, line);
    define_observing(app, line);
    define_tree(app, line);
    define_documentation(app, line);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        bool asked_for_help = error.get_exit_code() == 0;
        app.exit(error);
        return static_cast<int>(asked_for_help ? ExitCode::done : ExitCode::usage);
    }
    try {
        Outcome<void> outcome = line.action(line.globals);
        if (!outcome) return report(outcome.error());
    } catch (const std::system_error& error) {  // {fmt}'s way to say that a stream takes no more
        return report({ExitCode::refused, fmt::format("output: {}", error.what())});
    }
    if (std::fflush(stdout) != 0) return report({ExitCode::refused, "standard output: cannot be written"});
    return static_cast<int>(ExitCode::done);
}

}  // namespace
}  // namespace graft::tool

int main(int argc, char** argv) {
    return graft::tool::run(argc, argv);
}
