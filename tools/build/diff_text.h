// A unified diff, taken apart by files: what git, diff -u and quilt write, with whatever stands between.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "tools/graft/failure.h"

namespace graft::build {

struct Hunk {
    usize old_line = 0;  // of its first line, from 1; with no lines: of the line before
    usize old_count = 0;
    usize new_line = 0;
    usize new_count = 0;
    std::string text;  // from "@@" on, lines ended by '\n'
};

struct FileDiff {
    enum class Kind { edit, create, remove, rename, copy };
    Kind kind = Kind::edit;
    bool git = false;      // paths carry git's prefixes a/ and b/
    bool binary = false;   // can't be applied to a source
    bool mode = false;     // changes permissions
    std::string old_path;  // as it is written; of a rename or copy without prefix
    std::string new_path;
    std::vector<Hunk> hunks;
    bool has_returns = false;  // its lines end in "\r\n"
};

// `name` is what errors call the diff.
tool::Outcome<std::vector<FileDiff>> parse_diff(std::string_view text, const std::string& name);

// "a/kernel/log.cpp" without its first `count` components; empty when there are not so many.
std::string strip_components(const std::string& path, usize count);

}  // namespace graft::build
