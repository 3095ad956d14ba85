// Edits by diffs: each file of a diff finds its source in the baseline, and git applies the whole, exactly.
//
// Line ends don't count: sources and diffs meet with plain ones, and a source gets its own back.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "tools/build/diff_text.h"
#include "tools/build/edits.h"
#include "tools/build/jobs.h"
#include "tools/build/scratch.h"

namespace graft::build {
namespace {

namespace fs = std::filesystem;
using tool::Outcome;
using tool::refused;
using Kind = FileDiff::Kind;

// How a diff's paths become names: so many components less, and perhaps in the application's folder.
struct Naming {
    usize strip = 1;
    bool app = false;

    std::string name(const std::string& path) const {
        std::string rest = strip_components(path, strip);
        bool strays = rest.starts_with('/') || ("/" + rest + "/").find("/../") != std::string::npos;
        if (strays) return {};
        return rest.empty() || !app ? rest : "app/" + rest;
    }
};

// A file of a diff, with the names of the baseline's sources.
struct Target {
    const FileDiff* diff;
    std::string old_name;
    std::string new_name;
};

// What decides how everything is compiled and linked; no patch can follow a change of it.
bool shapes_the_image(const std::string& path) {
    std::string name = fs::path(path).filename().string();
    return name == "Makefile" || name == "module.mk" || name == "linker.ld" || path.starts_with("mk/") ||
           path.ends_with(".mk");
}

bool has_returns(const std::string& text) {
    usize end = text.find('\n');
    return end != std::string::npos && end > 0 && text[end - 1] == '\r';
}

std::string without_returns(const std::string& text) {
    std::string plain;
    for (usize i = 0; i < text.size(); ++i) {
        if (text[i] != '\r' || i + 1 >= text.size() || text[i + 1] != '\n') plain += text[i];
    }
    return plain;
}

std::string with_returns(const std::string& text) {
    std::string full;
    for (char one : text) {
        if (one == '\n') full += '\r';
        full += one;
    }
    return full;
}

// The diff of one file as git reads it, under the names of the sources.
std::string written(const Target& target) {
    const FileDiff& diff = *target.diff;
    std::string text = fmt::format("diff --git a/{} b/{}\n", target.old_name, target.new_name);
    if (diff.kind == Kind::create) text += "new file mode 100644\n";
    if (diff.kind == Kind::remove) text += "deleted file mode 100644\n";
    if (diff.kind == Kind::rename || diff.kind == Kind::copy) {
        std::string_view verb = diff.kind == Kind::rename ? "rename" : "copy";
        text +=
            fmt::format("similarity index 50%\n{} from {}\n{} to {}\n", verb, target.old_name, verb, target.new_name);
    }
    if (diff.hunks.empty()) return text;
    text += diff.kind == Kind::create ? "--- /dev/null\n" : fmt::format("--- a/{}\n", target.old_name);
    text += diff.kind == Kind::remove ? "+++ /dev/null\n" : fmt::format("+++ b/{}\n", target.new_name);
    for (const Hunk& hunk : diff.hunks) text += hunk.text;
    return text;
}

struct Trial {
    bool fits = false;
    std::vector<std::string> offsets;  // "kernel/log.cpp: hunk 1 fits 3 lines further down, in line 15"
    std::string errors;
};

// Reads what `git apply --verbose` says.
Trial read_trial(const CommandEnd& end) {
    Trial trial{.fits = end.good(), .offsets = {}, .errors = {}};
    std::string file;
    for (usize at = 0; at < end.text.size();) {
        usize stop = std::min(end.text.find('\n', at), end.text.size());
        std::string line = end.text.substr(at, stop - at);
        at = stop + 1;
        if (line.starts_with("Checking patch ")) file = line.substr(15, line.find("...") - 15);
        if (line.starts_with("Applying: ")) continue;
        usize offset = line.find(" (offset ");
        if (line.starts_with("Hunk #") && offset != std::string::npos) {
            std::string number = line.substr(6, line.find(' ', 6) - 6);
            std::string where = line.substr(line.find(" at ") + 4, offset - line.find(" at ") - 4);
            int lines = std::atoi(line.c_str() + offset + 9);
            trial.offsets.push_back(fmt::format("{}: hunk {} fits {} line{} further {}, in line {}", file, number,
                                                std::abs(lines), std::abs(lines) == 1 ? "" : "s",
                                                lines > 0 ? "down" : "up", where));
        }
        if (line.starts_with("error: ")) trial.errors += fmt::format("\n  {}", line.substr(7));
    }
    return trial;
}

class Applier {
public:
    explicit Applier(const EditPlace& place) : place_(place), present_(place.baseline.names()) {}

    Outcome<Edits> run(const std::vector<std::string>& diffs) {
        usize old = 0;
        for (const std::string& path : diffs) {
            bool already = false;
            GRAFT_CHECK(take(path, already));
            old += already;
        }
        if (old == diffs.size())
            return tool::nothing_to_do(
                fmt::format("{}: in the baseline {} already", diffs[0], place_.baseline.folder()));
        return std::move(edits_);
    }

private:
    Outcome<void> take(const std::string& path, bool& already) {
        std::string text = GRAFT_TRY(read_text(path));
        std::vector<FileDiff> files = GRAFT_TRY(parse_diff(text, path));
        std::vector<Target> targets = GRAFT_TRY(find_targets(path, files));
        if (targets.empty()) return {};
        fs::path folder = place_.scratch / fmt::format("apply{}", ++count_);
        GRAFT_CHECK(lay_out(targets, folder));
        already = GRAFT_TRY(apply(path, targets, folder));
        return already ? Outcome<void>() : take_back(targets, folder);
    }

    bool resolves(const FileDiff& file, const Naming& naming) const {
        std::string old_name = naming.name(file.old_path);
        if (!old_name.empty() && present_.contains(old_name)) return true;
        std::string new_name = naming.name(file.new_path);
        return file.kind != Kind::edit && !new_name.empty() && place_.baseline.is_inside(new_name);
    }

    Naming choose_naming(const std::vector<FileDiff>& files) const {
        std::optional<Naming> best;
        i64 most = 0;
        for (bool app : {false, true}) {
            if (app && place_.baseline.app().empty()) continue;
            for (usize strip : std::array<usize, 4>{1, 0, 2, 3}) {
                Naming naming{strip, app};
                i64 hits = std::ranges::count_if(files, [&](const FileDiff& file) { return resolves(file, naming); });
                if (hits > most) best = naming, most = hits;
            }
        }
        return best.value_or(Naming{files[0].git ? 1u : 0u, false});
    }

    Outcome<std::vector<Target>> find_targets(const std::string& path, const std::vector<FileDiff>& files) {
        Naming naming = choose_naming(files);
        std::vector<Target> targets;
        std::string outside;
        for (const FileDiff& file : files) {
            Target target{&file, naming.name(file.old_path), naming.name(file.new_path)};
            if (shapes_the_image(target.new_name))
                return refused(fmt::format("{}: {} says how the image is compiled or linked, which no patch can change",
                                           path, target.new_name));
            if (!place_.baseline.is_inside(target.old_name) && !place_.baseline.is_inside(target.new_name) &&
                !present_.contains(target.old_name)) {
                std::string name = target.new_name.empty() ? file.new_path : target.new_name;
                outside += fmt::format("{}{}", outside.empty() ? "" : ", ", name);
                continue;
            }
            if (file.binary) return refused(fmt::format("{}: {}: a binary change of a source", path, target.new_name));
            bool moves = file.kind == Kind::rename || file.kind == Kind::copy || file.kind == Kind::create;
            if (!file.hunks.empty() || moves || file.kind == Kind::remove) targets.push_back(std::move(target));
        }
        if (targets.empty() && !outside.empty())
            return refused(
                fmt::format("{}: no file of it is part of the image {}: {}", path, place_.baseline.folder(), outside));
        if (!outside.empty())
            edits_.notes.push_back(fmt::format("{}: not part of the image, left out: {}", path, outside));
        return targets;
    }

    fs::path current(const std::string& name) const {
        fs::path patched = place_.patched / name;
        std::error_code error;
        return fs::exists(patched, error) ? patched : place_.baseline.sources() / name;
    }

    // The files that the diff names, as they are before it, and the diff itself.
    Outcome<void> lay_out(const std::vector<Target>& targets, const fs::path& folder) {
        std::string diff;
        for (const Target& target : targets) {
            diff += written(target);
            for (const std::string& name : {target.old_name, target.new_name}) {
                if (!present_.contains(name)) continue;
                GRAFT_CHECK(write_text(folder / name, without_returns(GRAFT_TRY(read_text(current(name))))));
            }
        }
        make_folders(folder);
        fs::path diff_path = folder;
        diff_path += ".diff";
        return write_text(diff_path, diff);
    }

    Command git_apply(const fs::path& folder, std::vector<std::string> options, const char* suffix) const {
        std::string diff = folder.string() + ".diff";
        std::vector<std::string> words{"git", "apply", "--verbose", "--whitespace=nowarn"};
        words.insert(words.end(), options.begin(), options.end());
        words.push_back(diff);
        return {std::move(words), folder, folder.string() + suffix};
    }

    // True when the diff is in the sources already.
    Outcome<bool> apply(const std::string& path, const std::vector<Target>& targets, const fs::path& folder) {
        std::array trials{git_apply(folder, {"--check"}, ".forward"), git_apply(folder, {"--check", "-R"}, ".reverse")};
        JobOptions options{.jobs = 2, .temporary = place_.scratch / "tmp", .progress = {}};
        auto ends = GRAFT_TRY(run_commands(place_.interruption, trials, options));
        Trial forward = read_trial(ends[0]);
        Trial reverse = read_trial(ends[1]);
        bool already = reverse.fits && (!forward.fits || (reverse.offsets.empty() && !forward.offsets.empty()));
        if (already) {
            edits_.notes.push_back(fmt::format("{}: in the baseline already", path));
            return true;
        }
        if (!forward.fits) return refused(does_not_apply(path, targets, forward, ends[0].text));
        if (reverse.fits && reverse.offsets.empty())
            edits_.notes.push_back(fmt::format("{}: fits backwards, too: it may be in the baseline already", path));
        for (const std::string& offset : forward.offsets) edits_.notes.push_back(fmt::format("{}: {}", path, offset));
        std::array real{git_apply(folder, {}, ".applied")};
        auto done = GRAFT_TRY(run_commands(place_.interruption, real, options));
        if (!done[0].good()) return refused(fmt::format("{}: git can't apply it: {}", path, done[0].text));
        return false;
    }

    std::string does_not_apply(const std::string& path, const std::vector<Target>& targets, const Trial& trial,
                               const std::string& all) const {
        std::string missing;
        for (const Target& target : targets) {
            bool needed = target.diff->kind != Kind::create;
            if (needed && !present_.contains(target.old_name))
                missing += fmt::format("\n  {}: not among the baseline's sources", target.old_name);
        }
        std::string errors = !missing.empty() ? missing : trial.errors.empty() ? "\n  " + all : trial.errors;
        return fmt::format(
            "{}: doesn't apply to the baseline {}:{}\n  diffs are taken against what the image was made of: {}", path,
            place_.baseline.folder(), errors, place_.baseline.sources().string());
    }

    // What git made of the files becomes the edits.
    Outcome<void> take_back(const std::vector<Target>& targets, const fs::path& folder) {
        for (const Target& target : targets) {
            for (const std::string& name : {target.old_name, target.new_name}) GRAFT_CHECK(take_file(name, folder));
            if (target.diff->kind == Kind::rename) edits_.renamed[target.new_name] = target.old_name;
        }
        return {};
    }

    Outcome<void> take_file(const std::string& name, const fs::path& folder) {
        std::error_code error;
        bool known = place_.baseline.has(name);
        if (!fs::exists(folder / name, error)) {
            fs::remove(place_.patched / name, error);
            present_.erase(name);
            edits_.files.erase(name);
            if (known) edits_.files[name] = Edits::Kind::removed;
            return {};
        }
        std::string text = GRAFT_TRY(read_text(folder / name));
        std::string original = known ? GRAFT_TRY(read_text(place_.baseline.sources() / name)) : std::string();
        if (known && has_returns(original)) text = with_returns(text);
        present_.insert(name);
        if (known && text == original) {
            fs::remove(place_.patched / name, error);
            edits_.files.erase(name);
            return {};
        }
        edits_.files[name] = known ? Edits::Kind::edited : Edits::Kind::added;
        return write_text(place_.patched / name, text);
    }

    const EditPlace& place_;
    std::set<std::string> present_;  // names, as the diffs so far leave them
    Edits edits_;
    usize count_ = 0;
};

}  // namespace

Outcome<Edits> apply_diffs(const EditPlace& place, const std::vector<std::string>& diffs) {
    return Applier(place).run(diffs);
}

}  // namespace graft::build
