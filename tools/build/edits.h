// Edits: how the patched sources differ from the baseline's, and where that comes from: diffs, or a tree that somebody
// has edited.
//
// The patched files are written to a folder of the scratch, under the names of the baseline's sources; nothing else is
// touched. A file that is as it was in the baseline isn't among the edits.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tools/build/baseline.h"
#include "tools/build/interrupt.h"
#include "tools/graft/failure.h"

namespace graft::build {

struct Edits {
    // Of each edited, new or removed source of the image, by name. A renamed one is a removed and a new one.
    enum class Kind { edited, added, removed };
    std::map<std::string, Kind> files;
    std::map<std::string, std::string> renamed;  // new name → old name
    std::vector<std::string> notes;              // "fix.diff: docs/guide.md is not part of the image; left out"

    bool empty() const { return files.empty(); }
};

struct EditPlace {
    const Baseline& baseline;
    Interruption& interruption;
    std::filesystem::path scratch;  // for what the making of the edits needs
    std::filesystem::path patched;  // the folder that takes the patched files
};

// Each diff is applied to what the ones before it left, without fuzz. Refused: what doesn't apply, files outside the
// image alone, what says how the image is compiled or linked. Nothing to do: all are in the baseline already.
tool::Outcome<Edits> apply_diffs(const EditPlace& place, const std::vector<std::string>& diffs);

// The edits of the tree at `folder`, or of the one that the image was made from when that is empty.
tool::Outcome<Edits> compare_tree(const EditPlace& place, const std::string& folder);

}  // namespace graft::build
