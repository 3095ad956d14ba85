#include "tools/build/compile.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/build/scratch.h"

namespace graft::build {
namespace {

namespace fs = std::filesystem;
using tool::Outcome;
using tool::refused;

constexpr usize kScreen = 40;  // lines of a compiler's text

std::string first_line(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (usize at = 0; at < text.size();) {
        usize end = std::min(text.find('\n', at), text.size());
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

void replace_all(std::string& text, const std::string& what, const std::string& with) {
    for (usize at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
        text.replace(at, what.size(), with);
}

// The names that the preprocessor took for 0 in an #if.
std::set<std::string> undefined_names(const std::string& text) {
    std::set<std::string> names;
    for (const std::string& line : lines_of(text)) {
        usize flag = line.find("[-Wundef]");
        usize open = line.find('"');
        if (flag == std::string::npos || open == std::string::npos) continue;
        names.insert(line.substr(open + 1, line.find('"', open + 1) - open - 1));
    }
    return names;
}

// Packages are compiled with -w, which would silence what is asked for here, errors included.
void mind_warnings(std::vector<std::string>& words) {
    if (std::erase(words, "-w") == 0) return;
    for (const char* option : {"-Wno-all", "-Wno-extra", "-Wno-pedantic", "-Wno-error"})
        words.insert(words.end() - 2, option);
}

Command compile_command(const CompilePlace& place, const Recipe& recipe, const std::string& source,
                        const fs::path& sources, const fs::path& object) {
    Command command{place.baseline.command(recipe, source, sources), sources, object};
    std::vector<std::string>& words = command.words;
    command.output += ".text";
    mind_warnings(words);
    for (const char* option : {"-Wundef", "-Wno-error=undef"}) words.insert(words.end() - 2, option);
    if (source.ends_with(".c")) words.insert(words.end() - 2, "-Werror=implicit-function-declaration");
    words.insert(words.end(), {"-o", object.string()});
    return command;
}

class UnitCompiler {
public:
    UnitCompiler(const CompilePlace& place, std::vector<ReachedUnit>& units) : place_(place), units_(units) {}

    Outcome<Compiled> run() {
        GRAFT_CHECK(check_compilers());
        plan();
        ends_ = GRAFT_TRY(run_commands(place_.interruption, commands_, place_.jobs));
        GRAFT_CHECK(check_baseline());
        GRAFT_CHECK(check_patched());
        for (usize i = 0; i < units_.size(); ++i) compare_undefined(i);
        return std::move(compiled_);
    }

private:
    Outcome<void> check_compilers() {
        std::vector<Command> commands;
        std::vector<usize> used;
        for (usize i = 0; i < place_.baseline.compilers().size(); ++i) {
            if (std::ranges::none_of(units_, [i](const ReachedUnit& unit) { return unit.recipe.compiler == i; }))
                continue;
            const Compiler& compiler = place_.baseline.compilers()[i];
            std::error_code error;
            if (!fs::exists(compiler.path, error))
                return refused(fmt::format("{}: the compiler that made {} ({}) is not there", compiler.path,
                                           place_.baseline.folder(), compiler.version));
            used.push_back(i);
            commands.push_back(
                {{compiler.path, "--version"}, place_.scratch, place_.scratch / fmt::format("version{}", i)});
        }
        JobOptions options = place_.jobs;
        options.progress = {};
        auto ends = GRAFT_TRY(run_commands(place_.interruption, commands, options));
        for (usize i = 0; i < used.size(); ++i) {
            const Compiler& compiler = place_.baseline.compilers()[used[i]];
            if (first_line(ends[i].text) != compiler.version)
                return refused(fmt::format("{}: another compiler than the one that made {}: found '{}', expected '{}'",
                                           compiler.path, place_.baseline.folder(), first_line(ends[i].text),
                                           compiler.version));
        }
        return {};
    }

    fs::path object(usize index, const char* kind) const { return place_.scratch / fmt::format("{}{}.o", kind, index); }

    Command command(const Recipe& recipe, const std::string& source, const fs::path& sources,
                    const fs::path& object) const {
        return compile_command(place_, recipe, source, sources, object);
    }

    void plan() {
        for (usize i = 0; i < units_.size(); ++i) {
            ReachedUnit& unit = units_[i];
            if (unit.unit != nullptr) {
                old_command_[i] = commands_.size();
                commands_.push_back(
                    command(unit.unit->recipe, unit.unit->source, place_.baseline.sources(), object(i, "old")));
            }
            if (unit.source.empty()) continue;
            new_command_[i] = commands_.size();
            unit.patched = object(i, "new");
            commands_.push_back(command(unit.recipe, unit.source, place_.numbered, unit.patched));
        }
    }

    Outcome<void> check_baseline() const {
        std::string different;
        for (auto [i, number] : old_command_) {
            const BaselineUnit& unit = *units_[i].unit;
            if (!ends_[number].good())
                return refused(fmt::format("{}: the baseline of {} can't be compiled any more:\n{}",
                                           place_.baseline.folder(), unit.source, screen(ends_[number].text)));
            auto made = read_text(object(i, "old"));
            auto kept = read_text(place_.baseline.objects() / unit.object);
            if (!kept) return fail(kept.error());
            if (!made || *made != *kept)
                different += fmt::format("\n  {} (made {} bytes, expected {})", unit.object, made ? made->size() : 0,
                                         kept->size());
        }
        if (different.empty()) return {};
        return refused(fmt::format(
            "{}: compiling the baseline's sources again doesn't give its objects; a patch would not fit the "
            "image. Something that they depend on has changed (system headers, environment, the build "
            "folder itself); make the image again:{}",
            place_.baseline.folder(), screen(different)));
    }

    // The compiler's text is about numbered sources; said again about the author's own, it has their lines.
    Outcome<void> check_patched() {
        std::vector<Command> again;
        std::vector<usize> indices;
        for (auto [i, number] : new_command_) {
            if (ends_[number].good()) continue;
            indices.push_back(i);
            again.push_back(command(units_[i].recipe, units_[i].source, place_.patched, object(i, "new")));
        }
        if (again.empty()) return {};
        JobOptions options = place_.jobs;
        options.progress = {};
        auto ends = GRAFT_TRY(run_commands(place_.interruption, again, options));
        std::string text;
        std::string names;
        for (usize k = 0; k < ends.size(); ++k) {
            const std::string& name = units_[indices[k]].source;
            if (ends[k].good()) {
                compiled_.notes.push_back(
                    fmt::format("{}: compiled with its own line numbers, since it would not compile with "
                                "the baseline's",
                                name));
                continue;
            }
            names += fmt::format("{}{}", names.empty() ? "" : ", ", place_.baseline.shown(name));
            text += ends[k].text;
        }
        if (names.empty()) return {};
        return refused(fmt::format("the patched sources don't compile: {}\n{}", names, screen(text)));
    }

    std::string screen(std::string text) const {
        for (const fs::path& folder : {place_.patched, place_.numbered, place_.baseline.sources()}) {
            if (!place_.baseline.app().empty())
                replace_all(text, (folder / "app").string() + "/", place_.baseline.app() + "/");
            std::string fetched = (folder / "build-sources").string() + "/";
            replace_all(text, fetched, place_.baseline.shown("build-sources/"));
            replace_all(text, folder.string() + "/", "");
        }
        while (text.ends_with('\n')) text.pop_back();
        std::vector<std::string> lines = lines_of(text);
        if (lines.size() <= kScreen) return text;
        return fmt::format("{}\n… and {} lines more", fmt::join(lines.begin(), lines.begin() + kScreen, "\n"),
                           lines.size() - kScreen);
    }

    void compare_undefined(usize index) {
        if (!new_command_.contains(index)) return;
        std::set<std::string> before;
        if (old_command_.contains(index)) before = undefined_names(ends_[old_command_.at(index)].text);
        for (const std::string& name : undefined_names(ends_[new_command_.at(index)].text)) {
            if (!before.contains(name))
                compiled_.warnings.push_back(
                    fmt::format("{}: an #if takes {} for 0, since it isn't defined: code may have "
                                "disappeared",
                                units_[index].source, name));
        }
    }

    const CompilePlace& place_;
    std::vector<ReachedUnit>& units_;
    std::vector<Command> commands_;
    std::map<usize, usize> old_command_;  // index of the unit → index of the command
    std::map<usize, usize> new_command_;
    std::vector<CommandEnd> ends_;
    Compiled compiled_;
};

}  // namespace

Outcome<Compiled> compile_units(const CompilePlace& place, std::vector<ReachedUnit>& units) {
    return UnitCompiler(place, units).run();
}

Outcome<bool> compile_again(const CompilePlace& place, const std::vector<ReachedUnit*>& units) {
    std::vector<Command> commands;
    std::vector<fs::path> objects;
    for (const ReachedUnit* unit : units) {
        objects.push_back(place.scratch / fmt::format("again{}.o", objects.size()));
        commands.push_back(compile_command(place, unit->recipe, unit->source, place.numbered, objects.back()));
    }
    auto ends = GRAFT_TRY(run_commands(place.interruption, commands, place.jobs));
    if (!std::ranges::all_of(ends, &CommandEnd::good)) return false;
    for (usize i = 0; i < units.size(); ++i) units[i]->patched = objects[i];
    return true;
}

}  // namespace graft::build
