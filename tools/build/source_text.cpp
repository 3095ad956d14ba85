#include "tools/build/source_text.h"

#include <algorithm>
#include <utility>

namespace graft::build {
namespace {

bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
           static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

bool opens_raw_string(std::string_view word) {
    return word == "R" || word == "LR" || word == "uR" || word == "UR" || word == "u8R";
}

}  // namespace

// Goes through the text once; each line is finished at its end.
class SourceLexer {
public:
    SourceLexer(SourceText& out, std::string_view text) : out_(out), text_(text) {}

    void run() {
        while (at_ < text_.size()) {
            usize end = text_.find('\n', at_);
            line_end_ = end == std::string_view::npos ? text_.size() : end;
            take_line();
            at_ = line_end_ + 1;
        }
        out_.end_ = state_;
    }

private:
    void take_line() {
        line_ = SourceLine{};
        line_.text = text_.substr(at_, line_end_ - at_);
        if (line_.text.ends_with('\r')) line_.text.remove_suffix(1);
        line_.start = state_;
        line_.parentheses = static_cast<u32>(depth_);
        line_.sure = state_ != LineStart::continued && state_ != LineStart::literal;
        if (state_ == LineStart::plain) begin_plain_line();
        if (state_ == LineStart::continued) state_ = comment_continues_ ? LineStart::comment : LineStart::plain;
        bool line_comment = std::exchange(line_comment_continues_, false);
        usize here = at_;
        bool ends_in_line_comment = line_comment;
        if (!line_comment) ends_in_line_comment = take_tokens(here);
        finish_line(ends_in_line_comment);
    }

    void begin_plain_line() {
        usize first = line_.text.find_first_not_of(" \t");
        directive_ = first != std::string_view::npos && line_.text[first] == '#';
        if (first == 0 && line_.text[0] == '}')
            line_.parentheses = 0, depth_ = 0;  // whatever was lost before, it ends here
        if (!directive_) return;
        std::string_view rest = line_.text.substr(first + 1);
        usize begin = std::min(rest.find_first_not_of(" \t"), rest.size());
        rest.remove_prefix(begin);
        usize length = 0;
        while (length < rest.size() && is_word(rest[length])) ++length;
        take_directive(rest.substr(0, length));
    }

    // The branches of a condition open the same parentheses.
    void take_directive(std::string_view name) {
        if (name.empty() || is_digit(name[0]) || name == "line")
            out_.has_line_directives_ = out_.has_line_directives_ || !name.empty();
        if (name.starts_with("if")) branches_.push_back(depth_);
        if (name.starts_with("el") && !branches_.empty()) depth_ = branches_.back();
        if (name == "endif" && !branches_.empty()) branches_.pop_back();
    }

    // True when the rest of the line is a comment to its end.
    bool take_tokens(usize here) {
        while (here < line_end_) {
            if (state_ == LineStart::comment) {
                usize close = text_.find("*/", here);
                if (close >= line_end_) return false;
                here = close + 2;
                state_ = LineStart::plain;
                comment_continues_ = false;
                blank();
                continue;
            }
            if (state_ == LineStart::literal) {
                usize close = text_.find(raw_end_, here);
                if (close >= line_end_) return false;
                here = close + raw_end_.size();
                state_ = LineStart::plain;
                continue;
            }
            if (text_.compare(here, 2, "//") == 0) return true;
            here = take_token(here);
        }
        return false;
    }

    usize take_token(usize here) {
        char c = text_[here];
        if (text_.compare(here, 2, "/*") == 0) {
            state_ = LineStart::comment;
            blank();
            return here + 2;
        }
        if (is_blank(c)) return blank(), here + 1;
        if (is_word(c)) return take_word(here);
        if (c == '"' || c == '\'') return take_literal(here);
        if (!directive_ && c == '(') ++depth_;
        if (!directive_ && c == ')' && depth_ > 0) --depth_;
        line_.canonical += c;
        return here + 1;
    }

    usize take_word(usize here) {
        bool number = is_digit(text_[here]);
        usize end = here;
        while (end < line_end_) {
            bool separator = number && text_[end] == '\'' && end + 1 < line_end_ && is_word(text_[end + 1]);
            if (!is_word(text_[end]) && !separator && !(number && text_[end] == '.')) break;
            ++end;
        }
        std::string_view word = text_.substr(here, end - here);
        line_.canonical += word;
        if (end >= line_end_ || text_[end] != '"' || !opens_raw_string(word)) return end;
        usize open = text_.find('(', end);
        if (open == std::string_view::npos || open >= line_end_) return line_.sure = false, end;
        raw_end_ = ")" + std::string(text_.substr(end + 1, open - end - 1)) + "\"";
        state_ = LineStart::literal;
        line_.sure = false;
        return open + 1;
    }

    usize take_literal(usize here) {
        usize end = here + 1;
        while (end < line_end_ && text_[end] != text_[here]) end += text_[end] == '\\' ? 2 : 1;
        if (end >= line_end_) {  // an apostrophe in a skipped branch, or a literal that goes on
            line_.sure = false;
            line_.canonical += text_[here];
            return here + 1;
        }
        line_.canonical += text_.substr(here, end + 1 - here);
        return end + 1;
    }

    void blank() {
        if (!line_.canonical.empty() && line_.canonical.back() != ' ') line_.canonical += ' ';
    }

    void finish_line(bool in_line_comment) {
        bool spliced = line_.text.find_last_not_of(" \t") != std::string_view::npos &&
                       line_.text[line_.text.find_last_not_of(" \t")] == '\\';
        if (state_ != LineStart::literal && spliced) {
            line_.sure = false;
            comment_continues_ = state_ == LineStart::comment;
            line_comment_continues_ = in_line_comment;
            state_ = LineStart::continued;
        } else if (state_ == LineStart::comment && directive_) {
            line_.sure = false;
            comment_continues_ = true;
            state_ = LineStart::continued;
        }
        while (line_.canonical.ends_with(' ')) line_.canonical.pop_back();
        out_.lines_.push_back(std::move(line_));
    }

    SourceText& out_;
    std::string_view text_;
    usize at_ = 0;
    usize line_end_ = 0;
    SourceLine line_;
    LineStart state_ = LineStart::plain;
    bool comment_continues_ = false;
    bool line_comment_continues_ = false;
    bool directive_ = false;
    i64 depth_ = 0;
    std::vector<i64> branches_;
    std::string raw_end_;
};

SourceText::SourceText(std::string_view text) {
    SourceLexer(*this, text).run();
}

bool means_the_same(const SourceText& a, usize first_a, usize count_a, const SourceText& b, usize first_b,
                    usize count_b) {
    auto is_known = [](LineStart start) { return start == LineStart::plain || start == LineStart::comment; };
    if (a.start(first_a) != b.start(first_b) || !is_known(a.start(first_a))) return false;
    if (a.start(first_a + count_a) != b.start(first_b + count_b) || !is_known(a.start(first_a + count_a))) return false;
    std::vector<std::string_view> kept[2];
    auto keep = [](const SourceText& text, usize first, usize count, std::vector<std::string_view>& into) {
        for (usize i = first; i < first + count; ++i) {
            if (!text.lines()[i].sure) return false;
            if (!text.lines()[i].canonical.empty()) into.push_back(text.lines()[i].canonical);
        }
        return true;
    };
    return keep(a, first_a, count_a, kept[0]) && keep(b, first_b, count_b, kept[1]) && kept[0] == kept[1];
}

}  // namespace graft::build
