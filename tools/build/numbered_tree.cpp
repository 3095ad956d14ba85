#include "tools/build/numbered_tree.h"

#include <fmt/format.h>

#include <array>
#include <map>

#include "tools/build/diff_text.h"
#include "tools/build/jobs.h"
#include "tools/build/scratch.h"

namespace graft::build {
namespace {

namespace fs = std::filesystem;
using tool::Outcome;
using tool::refused;

using Changes = std::map<std::string, std::vector<LineChange>>;

usize first_index(usize line, usize count) {
    return count == 0 ? line : line - 1;
}

// What differs line by line, of all edited files at once.
Outcome<Changes> line_changes(const EditPlace& place, const Edits& edits) {
    Changes changes;
    fs::path before = place.scratch / "before";
    for (const auto& [name, kind] : edits.files) {
        if (kind != Edits::Kind::edited) continue;
        changes[name];
        GRAFT_CHECK(write_text(before / name, GRAFT_TRY(read_text(place.baseline.sources() / name))));
    }
    if (changes.empty()) return changes;
    std::string after = place.patched.lexically_relative(place.scratch).string();
    std::array commands{Command{{"git", "diff", "--no-index", "-U0", "--text", "--no-color", "--no-ext-diff",
                                 "--no-renames", "--src-prefix=a/", "--dst-prefix=b/", "before", after},
                                place.scratch,
                                place.scratch / "changes"}};
    JobOptions options{.jobs = 1, .temporary = place.scratch / "tmp", .progress = {}};
    CommandEnd end = GRAFT_TRY(run_commands(place.interruption, commands, options))[0];
    if (end.status != 1) return refused(fmt::format("git diff: {}", end.text));
    for (const FileDiff& file : GRAFT_TRY(parse_diff(end.text, "git diff"))) {
        auto known = changes.find(strip_components(file.new_path, 2));
        if (known == changes.end()) continue;  // added
        for (const Hunk& hunk : file.hunks)
            known->second.push_back({first_index(hunk.old_line, hunk.old_count), hunk.old_count,
                                     first_index(hunk.new_line, hunk.new_count), hunk.new_count});
    }
    return changes;
}

Outcome<void> link_to(const fs::path& target, const fs::path& link, std::set<fs::path>& made) {
    std::error_code error;
    if (made.insert(link.parent_path()).second) make_folders(link.parent_path());
    fs::create_symlink(target, link, error);
    if (error) return refused(fmt::format("{}: {}", link.string(), error.message()));
    return {};
}

// Would an include leave its folder by ".."? From a linked folder it would lead to the baseline's sources.
bool includes_upwards(const std::string& text) {
    for (usize at = text.find("../"); at != std::string::npos; at = text.find("../", at + 1)) {
        usize begin = text.rfind('\n', at);
        if (text.substr(begin + 1, at - begin - 1).find("include") != std::string::npos) return true;
    }
    return false;
}

Outcome<bool> any_includes_upwards(const EditPlace& place, const Edits& edits) {
    for (const std::string& name : place.baseline.names()) {
        if (includes_upwards(GRAFT_TRY(read_text(place.baseline.sources() / name)))) return true;
    }
    for (const auto& [name, kind] : edits.files) {
        if (kind != Edits::Kind::removed && includes_upwards(GRAFT_TRY(read_text(place.patched / name)))) return true;
    }
    return false;
}

// What the trees have of the baseline: names of sources, and of folders in which nothing was edited, since making a
// link for each source takes longer than compiling a small one.
Outcome<std::set<std::string>> linked_names(const EditPlace& place, const Edits& edits) {
    bool whole_folders = !GRAFT_TRY(any_includes_upwards(place, edits));
    std::set<std::string> edited_folders;
    for (const auto& [name, kind] : edits.files) {
        for (usize at = name.find('/'); at != std::string::npos; at = name.find('/', at + 1))
            edited_folders.insert(name.substr(0, at));
    }
    std::set<std::string> linked;
    for (const std::string& name : place.baseline.names()) {
        if (edits.files.contains(name)) continue;
        usize end = whole_folders ? name.find('/') : std::string::npos;
        while (end != std::string::npos && edited_folders.contains(name.substr(0, end))) end = name.find('/', end + 1);
        linked.insert(name.substr(0, end));
    }
    return linked;
}

}  // namespace

Outcome<NumberedTree> make_trees(const EditPlace& place, const Edits& edits) {
    NumberedTree tree{place.scratch / "patched", place.scratch / "numbered", {}, {}, {}};
    Changes changes = GRAFT_TRY(line_changes(place, edits));
    std::set<fs::path> made;
    for (const std::string& name : GRAFT_TRY(linked_names(place, edits))) {
        GRAFT_CHECK(link_to(place.baseline.sources() / name, tree.patched / name, made));
        GRAFT_CHECK(link_to(place.baseline.sources() / name, tree.numbered / name, made));
    }
    for (const auto& [name, kind] : edits.files) {
        if (kind == Edits::Kind::removed) {
            tree.changed.insert(name);
            continue;
        }
        GRAFT_CHECK(link_to(place.patched / name, tree.patched / name, made));
        if (kind == Edits::Kind::added) {
            tree.changed.insert(name);
            GRAFT_CHECK(link_to(place.patched / name, tree.numbered / name, made));
            continue;
        }
        std::string before = GRAFT_TRY(read_text(place.baseline.sources() / name));
        std::string after = GRAFT_TRY(read_text(place.patched / name));
        Neutral neutral = neutralise(name, before, after, changes[name], tree.lines);
        (neutral.changed ? tree.changed : tree.neutral).insert(name);
        GRAFT_CHECK(write_text(tree.numbered / name, neutral.changed ? neutral.text : before));
    }
    return tree;
}

}  // namespace graft::build
