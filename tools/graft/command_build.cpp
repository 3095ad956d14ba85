// build: a patch from a diff.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>

#include "tools/build/build.h"
#include "tools/graft/command.h"
#include "tools/graft/json.h"

namespace graft::tool {
namespace {

using build::BuildOptions;
using build::BuildReport;
using differ::Decision;
using differ::DecisionKind;

struct Arguments {
    BuildOptions options;
    std::vector<std::string> holds;
    std::string why;  // the function to explain; nothing is written
};

std::string placed(const differ::SourcePlace& place, const std::string& text) {
    return place.known() ? fmt::format("{}: {}", place.text(), text) : text;
}

void print_remarks(const Globals& globals, const BuildReport& report) {
    for (const std::string& text : report.warnings) fmt::print(stderr, "warning: {}\n", text);
    for (const differ::Remark& warning : report.result.warnings)
        fmt::print(stderr, "warning: {}\n", placed(warning.place, warning.text));
    if (globals.quiet) return;
    for (const std::string& text : report.notes) fmt::print(stderr, "note: {}\n", text);
    for (const differ::Remark& guess : report.result.guesses)
        fmt::print(stderr, "guess: {}\n", placed(guess.place, guess.text));
}

void print_decisions(const BuildReport& report, DecisionKind kind, const char* label) {
    for (const Decision& decision : report.result.decisions) {
        if (decision.kind != kind) continue;
        std::string place = decision.place.known() ? decision.place.text() : decision.unit;
        fmt::print("  {:<8} {}  {}{}{}\n", label, place, decision.demangled, decision.reason.empty() ? "" : ": ",
                   decision.reason);
    }
}

void print_summary(const BuildOptions& options, const BuildReport& report, double seconds) {
    const differ::Result& result = report.result;
    print_decisions(report, DecisionKind::changed, "changed");
    print_decisions(report, DecisionKind::added, "new");
    for (const std::string& name : result.added) fmt::print("  {:<8} {}\n", "new data", name);
    print_decisions(report, DecisionKind::removed, "removed");
    print_decisions(report, DecisionKind::held, "held");
    fmt::print("{}: changed: {}, new: {}, removed: {}, held: {}, unchanged but recompiled: {}\n",
               options.output.empty() ? report.base : options.output, result.count(DecisionKind::changed),
               result.count(DecisionKind::added), result.count(DecisionKind::removed), result.count(DecisionKind::held),
               result.count(DecisionKind::unchanged));
    fmt::print("size: {} bytes (text {}, read-only {}, data {}); compiled: {} of {} files; {:.1f} s\n",
               result.sizes.file, result.sizes.text, result.sizes.read_only, result.sizes.writable,
               report.compiled.size(), report.units, seconds);
}

// "total" and "demo::total" name `demo::total(int)`, and so does its linkage name.
bool is_named(const Decision& decision, const std::string& name) {
    if (name == decision.name || name == decision.demangled) return true;
    std::string plain = decision.demangled.substr(0, decision.demangled.find('('));
    if (!plain.ends_with(name)) return false;
    return plain.size() == name.size() || plain[plain.size() - name.size() - 1] == ':';
}

void print_why(const Decision& decision) {
    const differ::FirstDifference& first = decision.first_difference;
    fmt::print("{}: {} in {}{}{}\n", decision.demangled, differ::decision_name(decision.kind), decision.unit,
               decision.reason.empty() ? "" : ": ", decision.reason);
    if (first.before.empty() && first.after.empty()) return;
    fmt::print("  first difference{}{}\n", first.place.known() ? " at " : "", first.place.text());
    fmt::print("  - {}\n  + {}\n", first.before.empty() ? "(ends)" : first.before,
               first.after.empty() ? "(ends)" : first.after);
    for (const std::string& text : first.inlined) fmt::print("  inlined {}\n", text);
}

// Explains every function of that name.
Outcome<void> explain(const std::string& name, const BuildReport& report) {
    usize found = 0;
    for (const Decision& decision : report.result.decisions) {
        if (!is_named(decision, name)) continue;
        print_why(decision);
        ++found;
    }
    if (found != 0) return {};
    return nothing_to_do(fmt::format("{}: no function of that name in the files that the edits reach: {}", name,
                                     fmt::join(report.compiled, ", ")));
}

void write_names(JsonWriter& json, const char* key, const std::vector<std::string>& names) {
    json.key(key).begin_array();
    for (const std::string& name : names) json.value(name);
    json.end();
}

void write_place(JsonWriter& json, const differ::SourcePlace& place) {
    json.field("file", place.file).field("line", place.line);
}

void write_remarks(JsonWriter& json, const char* key, const std::vector<differ::Remark>& remarks) {
    json.key(key).begin_array();
    for (const differ::Remark& remark : remarks) {
        json.begin_object().field("code", remark.code);
        write_place(json, remark.place);
        json.field("text", remark.text).end();
    }
    json.end();
}

void write_functions(JsonWriter& json, const differ::Result& result) {
    json.key("functions").begin_array();
    for (const Decision& decision : result.decisions) {
        json.begin_object().field("decision", differ::decision_name(decision.kind)).field("name", decision.name);
        json.field("readable", decision.demangled).field("unit", decision.unit).field("reason", decision.reason);
        write_place(json, decision.place);
        json.field("address", decision.entry == 0 ? "" : fmt::format("{:#x}", decision.entry));
        json.field("old_size", decision.old_size).field("new_size", decision.new_size);
        json.field("endless", decision.endless);
        json.key("first_difference").begin_object();
        write_place(json, decision.first_difference.place);
        json.field("before", decision.first_difference.before).field("after", decision.first_difference.after);
        write_names(json, "inlined", decision.first_difference.inlined);
        json.end().end();
    }
    json.end();
}

void print_json(const BuildOptions& options, const BuildReport& report, double seconds) {
    const differ::Result& result = report.result;
    JsonWriter json;
    json.begin_object();
    json.field("outcome", result.refused() ? "refused" : result.nothing_to_do() ? "nothing to do" : "built");
    json.field("base", report.base).field("output", result.patch.empty() ? std::string() : options.output);
    for (DecisionKind kind : {DecisionKind::changed, DecisionKind::added, DecisionKind::removed, DecisionKind::held,
                              DecisionKind::unchanged})
        json.field(differ::decision_name(kind), result.count(kind));
    json.field("seconds", fmt::format("{:.3f}", seconds));
    json.field("file_size", result.sizes.file).field("text_size", result.sizes.text);
    json.field("rodata_size", result.sizes.read_only).field("data_size", result.sizes.writable);
    json.field("units", report.units);
    write_names(json, "compiled", report.compiled);
    write_names(json, "edited", report.edited);
    write_names(json, "neutral", report.neutral);
    write_functions(json, result);
    write_names(json, "new_data", result.added);
    write_names(json, "references", result.references);
    json.key("refusals").begin_array();
    for (const differ::Refusal& refusal : result.refusals) {
        json.begin_object().field("code", refusal.code);
        write_place(json, refusal.place);
        json.field("subject", refusal.subject).field("reason", refusal.reason).field("advice", refusal.advice).end();
    }
    json.end();
    write_remarks(json, "warnings", result.warnings);
    write_names(json, "compiler_warnings", report.warnings);
    write_remarks(json, "guesses", result.guesses);
    write_names(json, "notes", report.notes);
    json.end();
    fmt::print("{}\n", json.text());
}

// What ended before there was anything to compare.
void print_failure(const Failure& failure) {
    JsonWriter json;
    json.begin_object().field("outcome", failure.code == ExitCode::nothing_to_do ? "nothing to do" : "refused");
    json.field("reason", failure.text).end();
    fmt::print("{}\n", json.text());
}

Outcome<void> conclude(const BuildReport& report) {
    const differ::Result& result = report.result;
    if (result.refused()) {
        std::string text = fmt::format("{}: cannot be patched live", report.base);
        for (const differ::Refusal& refusal : result.refusals) text += "\n  " + refusal.text();
        return refused(text);
    }
    if (result.nothing_to_do()) {
        return nothing_to_do(fmt::format("nothing to change: {} file{} recompiled, {} functions unchanged",
                                         report.compiled.size(), report.compiled.size() == 1 ? "" : "s",
                                         result.count(DecisionKind::unchanged)));
    }
    return {};
}

Outcome<void> run_build(const Arguments& arguments, const Globals& globals) {
    BuildOptions options = arguments.options;
    options.progress = !globals.quiet;
    if (options.texts.name.empty()) options.texts.name = std::filesystem::path(options.output).stem().string();
    for (const std::string& hold : arguments.holds) {
        if (hold == "none") options.holds.automatic = false;
        if (hold != "none" && hold != "auto") options.holds.named.push_back(hold);
    }
    if (arguments.why.empty() == options.output.empty()) return misused("build: either --output or --why is required");
    if (!arguments.why.empty() && options.texts.name.empty()) options.texts.name = "why";
    u64 began = now_ns();
    build::Interruption interruption(globals.deadline());
    auto report = build::build_patch(options, interruption);
    if (!report) {
        if (globals.json) print_failure(report.error());
        return fail(std::move(report.error()));
    }
    double seconds = static_cast<double>(now_ns() - began) / 1e9;
    if (!arguments.why.empty() && !globals.json) return explain(arguments.why, *report);
    print_remarks(globals, *report);
    if (globals.json)
        print_json(options, *report, seconds);
    else if (!globals.quiet && !report->result.patch.empty())
        print_summary(options, *report, seconds);
    return conclude(*report);
}

}  // namespace

void define_build(CLI::App& app, CommandLine& line) {
    auto arguments = std::make_shared<Arguments>();
    BuildOptions& options = arguments->options;
    options.jobs = std::max(1u, std::thread::hardware_concurrency());
    CLI::App* command =
        app.add_subcommand("build", "Make a patch from a source diff and the build folder of the running image");
    command
        ->add_option("DIFF", options.diffs,
                     "Unified diffs against the sources of the image; none: the edits of the tree")
        ->type_name("");
    command->add_option("--base", options.base, "The image's build folder, such as build/demo")
        ->required()
        ->type_name("FOLDER");
    command->add_option("-o,--output", options.output, "The patch to write")->type_name("FILE.klp");
    command
        ->add_option("--why", arguments->why, "Instead of a patch: where this function first differs, and through what")
        ->type_name("FUNCTION");
    command
        ->add_option("--tree", options.tree,
                     "A tree that has been edited, instead of diffs; default: the one the image was made from")
        ->type_name("FOLDER")
        ->excludes("DIFF");
    command
        ->add_option("--key", options.key, "Sign with this secret key, or `none`; default: the tree's development key")
        ->envname("GRAFT_KEY")
        ->type_name("FILE.key");
    command->add_option("--name", options.texts.name, "The patch's name; default: the output's");
    command->add_option("--set", options.texts.set, "The replace set; default: the name");
    command->add_option("--version", options.texts.version, "The patch's version");
    command->add_option("--fixes", options.texts.fixes, "Identifiers of what is fixed")->type_name("ID");
    command->add_option("--description", options.texts.description, "A line about it");
    command
        ->add_option("--hold", arguments->holds,
                     "auto: hold unchanged functions that call two changed ones; none; or a function to hold")
        ->type_name("auto|none|FUNCTION")
        ->allow_extra_args(false);
    command->add_option("-j,--jobs", options.jobs, "Compilers at a time")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    command->callback([&line, arguments] {
        line.action = [arguments](const Globals& globals) { return run_build(*arguments, globals); };
    });
}

}  // namespace graft::tool
