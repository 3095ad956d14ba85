// Edits of a tree, by comparing it with the baseline's sources.
#include <fmt/format.h>

#include <algorithm>

#include "tools/build/edits.h"
#include "tools/build/scratch.h"

namespace graft::build {
namespace {

namespace fs = std::filesystem;
using tool::Outcome;
using tool::refused;

// What the build makes: a patch uses the baseline's.
bool is_generated(const std::string& name) {
    return name.starts_with("build/");
}

// Where the tree's files are, those of an application's folder outside, and those of packages. An empty one isn't
// looked at.
struct Trees {
    fs::path tree;
    fs::path app;
    fs::path fetched;

    fs::path find(const std::string& name) const {
        bool outside = name.starts_with("app/") && !app.empty();
        if (outside) return app / name.substr(4);
        if (Baseline::is_fetched(name))
            return fetched.empty() ? fs::path() : fetched / fs::path(name).lexically_relative("build-sources");
        return tree.empty() || is_generated(name) ? fs::path() : tree / name;
    }
};

Outcome<Trees> choose_trees(const Baseline& baseline, const std::string& folder) {
    bool outside = !baseline.app().empty();
    if (folder.empty())
        return Trees{baseline.tree(), outside ? fs::path(baseline.app()) : fs::path(), baseline.fetched()};
    std::error_code error;
    fs::path path = fs::absolute(folder, error);
    if (!fs::is_directory(path, error)) return refused(fmt::format("{}: no such folder", folder));
    usize of_tree = 0;
    usize of_app = 0;
    for (const std::string& name : baseline.names()) {
        of_tree += fs::exists(path / name, error);
        of_app += outside && name.starts_with("app/") && fs::exists(path / name.substr(4), error);
    }
    if (of_tree == 0 && of_app == 0)
        return refused(fmt::format("{}: holds none of the sources that {} was made of", folder, baseline.folder()));
    if (of_tree < of_app) return Trees{{}, path, {}};
    // A tree may come without the packages, which `make` fetches.
    fs::path fetched = path / "build-sources";
    return Trees{path, {}, fs::is_directory(fetched, error) ? fetched : fs::path()};
}

// The edited, or removed, among the baseline's sources.
Outcome<void> compare_known(const EditPlace& place, const Trees& trees, Edits& edits) {
    std::error_code error;
    for (const std::string& name : place.baseline.names()) {
        if (name.starts_with("app/") && !place.baseline.app().empty() && trees.app.empty()) continue;
        fs::path path = trees.find(name);
        if (path.empty()) continue;
        if (!fs::exists(path, error)) {
            edits.files[name] = Edits::Kind::removed;
            continue;
        }
        std::string text = GRAFT_TRY(read_text(path));
        if (text == GRAFT_TRY(read_text(place.baseline.sources() / name))) continue;
        edits.files[name] = Edits::Kind::edited;
        GRAFT_CHECK(write_text(place.patched / name, text));
    }
    return {};
}

bool is_pruned(const fs::path& folder) {
    std::string name = folder.filename().string();
    return name == "patches" || name.starts_with('.');
}

Outcome<void> find_added(const EditPlace& place, const Trees& trees, Edits& edits) {
    std::error_code error;
    for (const std::string& folder : place.baseline.folders()) {
        bool whole = folder == "app" && !place.baseline.app().empty();
        fs::path top = whole ? trees.app : trees.tree.empty() ? fs::path() : trees.tree / folder;
        if (top.empty()) continue;
        auto options = fs::directory_options::follow_directory_symlink;
        for (fs::recursive_directory_iterator at(top, options, error), end; !error && at != end; at.increment(error)) {
            if (at->is_directory(error) && is_pruned(at->path())) at.disable_recursion_pending();
            std::string name = (fs::path(folder) / at->path().lexically_relative(top)).string();
            if (!at->is_regular_file(error) || !is_source_name(name) || place.baseline.has(name)) continue;
            edits.files[name] = Edits::Kind::added;
            GRAFT_CHECK(write_text(place.patched / name, GRAFT_TRY(read_text(at->path()))));
        }
    }
    return {};
}

}  // namespace

Outcome<Edits> compare_tree(const EditPlace& place, const std::string& folder) {
    Trees trees = GRAFT_TRY(choose_trees(place.baseline, folder));
    std::error_code error;
    if (folder.empty() && !fs::is_directory(trees.tree, error))
        return refused(fmt::format("{}: the tree that the image was made from is gone; give a diff, or --tree",
                                   trees.tree.string()));
    Edits edits;
    GRAFT_CHECK(compare_known(place, trees, edits));
    GRAFT_CHECK(find_added(place, trees, edits));
    return edits;
}

}  // namespace graft::build
