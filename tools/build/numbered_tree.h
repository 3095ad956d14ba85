// The two trees of sources that a build compiles: the patched ones as their author wrote them, for what the compiler
// has to say, and the same with the baseline's line numbers. What wasn't edited is a symbolic link to the baseline's
// source, or to a folder of them in which nothing was edited.
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "tools/build/edits.h"
#include "tools/build/line_map.h"
#include "tools/graft/failure.h"

namespace graft::build {

struct NumberedTree {
    std::filesystem::path patched;
    std::filesystem::path numbered;
    std::set<std::string>
        changed;  // names whose text means something else than the baseline's, removed and new ones too
    std::set<std::string> neutral;  // edited in comments or white space alone
    LineMap lines;
};

// `place.patched` has the edited files and nothing else.
tool::Outcome<NumberedTree> make_trees(const EditPlace& place, const Edits& edits);

}  // namespace graft::build
