// `graft build`, from diff to patch, without its command line:
//
//   baseline.h        what the image was made of
//   edits.h           the diffs, or the edited tree, as patched sources in a scratch folder
//   numbered_tree.h   the same with the baseline's line numbers
//   compile.h         the units they reach, before and after
//   own_initialiser.h the same again, where a new object's constructor must run apart from those that have run
//   differ/           what of these differs, whether it can be done live, and the patch
//
// Nothing outside of the scratch folder is written but the finished patch, and that at once. Nothing is left when the
// build is refused, fails or is interrupted.
#pragma once

#include <string>
#include <vector>

#include "tools/build/interrupt.h"
#include "tools/differ/differ.h"
#include "tools/graft/failure.h"

namespace graft::build {

struct BuildOptions {
    std::string base;                // the build folder
    std::vector<std::string> diffs;  // applied in this order; none: the edits of a tree
    std::string tree;                // the edited tree; empty: the one that the image was made from
    std::string output;              // the patch; empty: none is written
    std::string key;                 // the secret key to sign with, or `none`; empty: the tree's development key if any
    differ::Texts texts;             // a name of its own, or it is the output's
    differ::HoldPolicy holds;
    unsigned jobs = 1;
    bool progress = false;
};

struct BuildReport {
    differ::Result result;              // places are lines of the patched sources
    std::string base;                   // the build folder
    std::vector<std::string> edited;    // sources that mean something else now, as the user has them
    std::vector<std::string> neutral;   // sources edited in comments or white space alone
    std::vector<std::string> compiled;  // units
    usize units = 0;                    // that the image has
    std::vector<std::string> notes;     // what was done otherwise than one might think
    std::vector<std::string> warnings;  // of the compiler's; the differ's are in `result`
};

// Nothing to do: no edits, or none that the compiler sees. A patch that can't be made live is a report whose result is
// refused.
tool::Outcome<BuildReport> build_patch(const BuildOptions& options, Interruption& interruption);

}  // namespace graft::build
