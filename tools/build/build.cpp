#include "tools/build/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "tools/build/compile.h"
#include "tools/build/numbered_tree.h"
#include "tools/build/own_initialiser.h"
#include "tools/build/scratch.h"
#include "tools/graft/terminal.h"
#include "tools/signing/keys.h"

namespace graft::build {
namespace {

namespace fs = std::filesystem;
using tool::Outcome;
using tool::refused;

bool has_suffix(const std::string& name, std::string_view suffix) {
    return name.ends_with(suffix);
}
bool is_unit(const std::string& name) {
    return has_suffix(name, ".cpp") || has_suffix(name, ".c") || has_suffix(name, ".S");
}
std::string base_name(const std::string& name) {
    return name.substr(name.rfind('/') + 1);
}

class Builder {
public:
    Builder(const BuildOptions& options, Interruption& interruption, Baseline baseline, const fs::path& scratch)
        : options_(options), interruption_(interruption), baseline_(std::move(baseline)), scratch_(scratch) {}

    Outcome<BuildReport> run() {
        make_folders(scratch_ / "tmp");
        make_folders(scratch_ / "edited");
        EditPlace place{baseline_, interruption_, scratch_, scratch_ / "edited"};
        edits_ =
            GRAFT_TRY(options_.diffs.empty() ? compare_tree(place, options_.tree) : apply_diffs(place, options_.diffs));
        report_.base = baseline_.folder();
        report_.notes = edits_.notes;
        if (edits_.empty())
            return tool::nothing_to_do(
                fmt::format("{}: the sources are those that it was made of", baseline_.folder()));
        tree_ = GRAFT_TRY(make_trees(place, edits_));
        for (const std::string& name : tree_.changed) report_.edited.push_back(baseline_.shown(name));
        for (const std::string& name : tree_.neutral) report_.neutral.push_back(baseline_.shown(name));
        if (tree_.changed.empty()) return tool::nothing_to_do("the edits change comments and white space only");
        GRAFT_CHECK(find_reached());
        if (reached_.empty())
            return tool::nothing_to_do(
                fmt::format("nothing in the image is compiled from {}", fmt::join(report_.edited, ", ")));
        GRAFT_CHECK(compile());
        GRAFT_CHECK(compare());
        if (!report_.result.mixed.empty()) GRAFT_CHECK(separate_initialisers());
        show_true_places();
        return std::move(report_);
    }

private:
    // A new header may be found in the stead of another of the same name.
    bool is_reached(const BaselineUnit& unit, const std::set<std::string>& added) const {
        return std::ranges::any_of(unit.from, [&](const std::string& name) {
            return tree_.changed.contains(name) || added.contains(base_name(name));
        });
    }

    Outcome<void> find_reached() {
        std::set<std::string> added_headers;
        std::map<std::string, std::string> renamed_to;
        for (const auto& [new_name, old_name] : edits_.renamed) renamed_to[old_name] = new_name;
        for (const auto& [name, kind] : edits_.files) {
            if (kind == Edits::Kind::added && !is_unit(name)) added_headers.insert(base_name(name));
        }
        std::set<std::string> taken;
        for (const BaselineUnit& unit : baseline_.units()) {
            if (!is_reached(unit, added_headers)) continue;
            ReachedUnit reached{&unit, unit.source, unit.recipe, {}};
            auto edit = edits_.files.find(unit.source);
            if (edit != edits_.files.end() && edit->second == Edits::Kind::removed)
                reached.source = renamed_to[unit.source];
            if (!reached.source.empty() && reached.source != unit.source) GRAFT_CHECK(find_recipe(reached));
            taken.insert(reached.source);
            reached_.push_back(std::move(reached));
        }
        for (const auto& [name, kind] : edits_.files) {
            if (kind != Edits::Kind::added || !is_unit(name) || taken.contains(name)) continue;
            ReachedUnit reached{nullptr, name, {}, {}};
            GRAFT_CHECK(find_recipe(reached));
            reached_.push_back(std::move(reached));
        }
        return {};
    }

    Outcome<void> find_recipe(ReachedUnit& reached) const {
        const Recipe* recipe = baseline_.recipe_for(reached.source);
        if (recipe == nullptr)
            return refused(fmt::format("{}: new assembly, or a folder that the image isn't made of",
                                       baseline_.shown(reached.source)));
        reached.recipe = *recipe;
        return {};
    }

    Outcome<void> compile() {
        tool::ProgressBar bar("compiling", options_.progress);
        JobOptions jobs{.jobs = options_.jobs, .temporary = scratch_ / "tmp", .progress = {}};
        jobs.progress = [&](usize done) { bar.update(done, 2 * reached_.size()); };
        CompilePlace place{baseline_, interruption_, scratch_, tree_.numbered, tree_.patched, jobs};
        Compiled compiled = GRAFT_TRY(compile_units(place, reached_));
        report_.notes.insert(report_.notes.end(), compiled.notes.begin(), compiled.notes.end());
        report_.warnings = std::move(compiled.warnings);
        report_.units = baseline_.units().size();
        for (const ReachedUnit& unit : reached_) {
            if (!unit.source.empty()) report_.compiled.push_back(baseline_.shown(unit.source));
        }
        return {};
    }

    Outcome<void> compare() {
        differ::Request request;
        request.image = baseline_.image();
        request.map = baseline_.map();
        request.object_root = baseline_.objects();
        request.texts = options_.texts;
        request.holds = options_.holds;
        for (const ReachedUnit& unit : reached_) {
            differ::Unit one;
            one.source = unit.name();
            if (unit.unit != nullptr) {
                one.linked_as = unit.unit->object;
                one.baseline = baseline_.objects() / unit.unit->object;
            }
            one.patched = unit.patched;
            one.removed = unit.source.empty();
            request.units.push_back(std::move(one));
        }
        auto result = differ::compare(request);
        if (!result) return refused(without_scratch(result.error().text));
        report_.result = std::move(*result);
        return {};
    }

    // Compares again with an initialiser of its own for each object that the diff adds to units whose initialisers have
    // run. Where that can't be had, the refusal stands.
    Outcome<void> separate_initialisers() {
        fs::path scratch = scratch_ / "separate";
        EditPlace place{baseline_, interruption_, scratch, scratch / "edited"};
        make_folders(scratch / "tmp");
        if (GRAFT_TRY(write_separated(place.patched)) == 0) return {};
        NumberedTree tree = GRAFT_TRY(make_trees(place, edits_));
        std::vector<ReachedUnit*> units;
        std::set<std::string> mixed;
        for (const differ::MixedInitialiser& one : report_.result.mixed) mixed.insert(one.unit);
        for (ReachedUnit& unit : reached_) {
            if (mixed.contains(unit.name())) units.push_back(&unit);
        }
        JobOptions jobs{.jobs = options_.jobs, .temporary = scratch / "tmp", .progress = {}};
        if (!GRAFT_TRY(compile_again({baseline_, interruption_, scratch, tree.numbered, tree.patched, jobs}, units)))
            return {};
        GRAFT_CHECK(compare());
        for (const differ::MixedInitialiser& left : report_.result.mixed) mixed.erase(left.unit);
        for (const std::string& name : mixed)
            report_.notes.push_back(
                fmt::format("{}: the constructors of its new objects have an initialiser of their own, which runs when "
                            "the patch is loaded; what ran at boot doesn't run again",
                            baseline_.shown(name)));
        return {};
    }

    // The edited files once more, with the attributes; how many there are.
    Outcome<usize> write_separated(const fs::path& folder) {
        std::map<std::string, std::vector<Declarator>> declarators;
        for (const differ::MixedInitialiser& mixed : report_.result.mixed) {
            LineMap::Place place = tree_.lines.find(mixed.place.file, mixed.place.line);
            if (mixed.of_class && !place.gone)
                declarators[place.file].push_back({place.line, mixed.column, mixed.name});
        }
        usize given = 0;
        for (const auto& [name, kind] : edits_.files) {
            if (kind == Edits::Kind::removed) continue;
            std::string text = GRAFT_TRY(read_text(scratch_ / "edited" / name));
            OwnInitialisers own = give_own_initialisers(text, declarators[name]);
            given += own.given;
            GRAFT_CHECK(write_text(folder / name, own.text));
        }
        return given;
    }

    std::string without_scratch(std::string text) const {
        for (usize i = 0; i < reached_.size(); ++i) {
            if (reached_[i].patched.empty()) continue;
            usize at = text.find(reached_[i].patched.string());
            if (at != std::string::npos) text.replace(at, reached_[i].patched.string().size(), reached_[i].source);
        }
        return text;
    }

    void show_place(differ::SourcePlace& place) const {
        if (!place.known()) return;
        LineMap::Place found = tree_.lines.find(place.file, place.line);
        place = {baseline_.shown(found.file), found.line};
    }
    void show_remarks(std::vector<differ::Remark>& remarks) const {
        for (differ::Remark& remark : remarks) {
            show_place(remark.place);
            remark.text = tree_.lines.mapped(remark.text);
        }
    }

    void show_true_places() {
        differ::Result& result = report_.result;
        for (differ::Decision& decision : result.decisions) {
            show_place(decision.place);
            decision.unit = baseline_.shown(decision.unit);
            decision.reason = tree_.lines.mapped(decision.reason);
            show_place(decision.first_difference.place);
            for (std::string& text : decision.first_difference.inlined) text = tree_.lines.mapped(text);
        }
        for (differ::Refusal& refusal : result.refusals) {
            show_place(refusal.place);
            refusal.reason = tree_.lines.mapped(refusal.reason);
            refusal.advice = tree_.lines.mapped(refusal.advice);
        }
        show_remarks(result.warnings);
        show_remarks(result.guesses);
    }

    const BuildOptions& options_;
    Interruption& interruption_;
    Baseline baseline_;
    fs::path scratch_;
    Edits edits_;
    NumberedTree tree_;
    std::vector<ReachedUnit> reached_;
    BuildReport report_;
};

// Signs with the key asked for; before anything is compiled, so that a wrong one is noticed at once.
Outcome<std::optional<tools::SecretKey>> signing_key(const BuildOptions& options, const Baseline& baseline) {
    std::string path = options.key;
    std::error_code error;
    if (path.empty()) {
        fs::path development = fs::path(baseline.tree()) / "keys/development.key";
        if (fs::exists(development, error)) path = development;
    }
    if (path.empty() || path == "none") return std::nullopt;
    auto key = tools::read_secret_key(path);
    if (!key) return refused(key.error().text);
    return std::move(*key);
}

}  // namespace

Outcome<BuildReport> build_patch(const BuildOptions& options, Interruption& interruption) {
    Baseline baseline = GRAFT_TRY(Baseline::open(options.base));
    auto key = GRAFT_TRY(signing_key(options, baseline));
    auto scratch = GRAFT_TRY(Scratch::make(interruption));
    BuildReport report = GRAFT_TRY(Builder(options, interruption, std::move(baseline), scratch->path()).run());
    if (key && !report.result.patch.empty()) {
        auto is_signed = tools::sign_patch(report.result.patch, *key);
        if (!is_signed) return refused(is_signed.error().text);
    }
    if (!report.result.patch.empty() && !options.output.empty())
        GRAFT_CHECK(write_whole(interruption, options.output, report.result.patch));
    return report;
}

}  // namespace graft::build
