// Line numbers that don't move: a patched source is compiled so that each line that it shares with the baseline keeps
// the baseline's number, and functions don't change because something was added above them.
//
// neutralise() makes the text that is compiled out of the patched one:
//   * where the two differ in comments and white space alone, it has the baseline's text;
//   * #line directives put the shared lines back to their numbers. Replaced lines take the numbers of those they
//   replace;
//     lines beyond these get kPatchedLines plus their number in the patched file, so that the numbers of the two files
//     can't be mistaken for each other. The directives name no file: how the compiler calls it depends on who includes
//     it.
//   * a directive only stands where it means just itself: not in a comment, a literal, a continued line or parentheses,
//     which may be a macro's arguments; there the numbers stay wrong until the next place that will do.
//
// LineMap turns places of the debug information back into lines of the patched file.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace graft::build {

inline constexpr u32 kPatchedLines = 1'000'000;

// One difference between two texts. Lines are counted from 0.
struct LineChange {
    usize old_first = 0;
    usize old_count = 0;
    usize new_first = 0;
    usize new_count = 0;
};

class LineMap {
public:
    // What the debug information calls `file`:`line` is the patched file's `true_line`. Names are the baseline's.
    void add(const std::string& file, u32 line, u32 true_line);
    void add_file(const std::string& file) { files_[file]; }

    struct Place {
        std::string file;
        u32 line = 0;
        bool gone = false;  // the line is the baseline's, and the patched file has it no more
    };
    // `file` as the debug information has it, with or without "./".
    Place find(const std::string& file, u32 line) const;
    // The same for every "FILE:LINE" in a message.
    std::string mapped(const std::string& text) const;

private:
    std::map<std::string, std::map<u32, u32>> files_;  // of changed files only
};

struct Neutral {
    std::string text;      // what is compiled
    bool changed = false;  // it isn't the baseline's
};

// `changes` are ascending and don't touch; `map` learns about `name`.
Neutral neutralise(const std::string& name, std::string_view baseline, std::string_view patched,
                   const std::vector<LineChange>& changes, LineMap& map);

}  // namespace graft::build
