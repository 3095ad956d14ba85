// What a C or C++ source is, line by line, as far as line numbers are concerned: where a line begins inside of what,
// and what is left of it when comments and white space don't count.
//
// The lexing is that of the preprocessor's first phases: comments, literals, raw strings, continued lines, directives.
// Where it isn't sure, it says so, and nobody concludes anything from such a line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace graft::build {

enum class LineStart : u8 {
    plain,
    comment,    // in a block comment
    literal,    // in a raw string
    continued,  // the line before ends with a backslash, or a comment began in a directive
};

struct SourceLine {
    std::string_view text;  // without its end
    LineStart start = LineStart::plain;
    u32 parentheses = 0;    // open ones at its begin: it may lie in a macro's arguments
    bool sure = true;       // the canonical text is all that it means
    std::string canonical;  // comments and runs of white space are one blank, none at the ends
};

class SourceText {
public:
    // `text` must outlive the object.
    explicit SourceText(std::string_view text);

    const std::vector<SourceLine>& lines() const { return lines_; }
    // How the line of that index begins, also of the one behind the last.
    LineStart start(usize line) const { return line < lines_.size() ? lines_[line].start : end_; }
    bool has_line_directives() const { return has_line_directives_; }

    // Can a directive stand before that line and mean just itself?
    bool takes_directive(usize line) const {
        return line >= lines_.size() || (lines_[line].start == LineStart::plain && lines_[line].parentheses == 0);
    }

private:
    friend class SourceLexer;
    std::vector<SourceLine> lines_;
    LineStart end_ = LineStart::plain;
    bool has_line_directives_ = false;
};

// Do the lines [first, first + count) of both mean the same to the compiler, but for where they stand?
bool means_the_same(const SourceText& a, usize first_a, usize count_a, const SourceText& b, usize first_b,
                    usize count_b);

}  // namespace graft::build
