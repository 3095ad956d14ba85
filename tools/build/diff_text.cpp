#include "tools/build/diff_text.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace graft::build {
namespace {

using tool::Outcome;
using tool::refused;

// The file name of a "--- " or "+++ " line: without a time stamp, unquoted.
std::string path_of(std::string_view rest) {
    if (!rest.starts_with('"')) return std::string(rest.substr(0, rest.find('\t')));
    std::string path;
    for (usize i = 1; i < rest.size() && rest[i] != '"'; ++i) {
        if (rest[i] != '\\' || i + 1 >= rest.size()) {
            path += rest[i];
            continue;
        }
        ++i;
        if (rest[i] < '0' || rest[i] > '3' || i + 2 >= rest.size()) {
            path += rest[i] == 't' ? '\t' : rest[i] == 'n' ? '\n' : rest[i];
            continue;
        }
        path += static_cast<char>((rest[i] - '0') * 64 + (rest[i + 1] - '0') * 8 + (rest[i + 2] - '0'));
        i += 2;
    }
    return path;
}

// What diff -N writes for a file that isn't there.
bool has_no_time(std::string_view rest) {
    usize tab = rest.find('\t');
    if (tab == std::string_view::npos) return false;
    std::string_view time = rest.substr(tab + 1);
    return time.starts_with("1970-01-01") || time.starts_with("1969-12-31");
}

std::optional<usize> take_number(std::string_view& text) {
    usize number = 0;
    auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    if (result.ec != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<usize>(result.ptr - text.data()));
    return number;
}

// "12,3" or "12".
bool take_range(std::string_view& text, usize& line, usize& count) {
    auto first = take_number(text);
    if (!first) return false;
    line = *first;
    count = 1;
    if (!text.starts_with(',')) return true;
    text.remove_prefix(1);
    auto second = take_number(text);
    count = second.value_or(0);
    return second.has_value();
}

bool take_word(std::string_view& text, std::string_view word) {
    if (!text.starts_with(word)) return false;
    text.remove_prefix(word.size());
    return true;
}

bool read_hunk_header(std::string_view line, Hunk& hunk) {
    return take_word(line, "@@ -") && take_range(line, hunk.old_line, hunk.old_count) && take_word(line, " +") &&
           take_range(line, hunk.new_line, hunk.new_count) && take_word(line, " @@");
}

class Parser {
public:
    Parser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

    Outcome<std::vector<FileDiff>> run() {
        while (!at_end()) {
            std::string_view line = next();
            if (line.starts_with("diff --git ")) {
                begin_git(line.substr(11));
            } else if (line.starts_with("--- ") && peek().starts_with("+++ ")) {
                begin_names(line.substr(4), next().substr(4));
            } else if (line.starts_with("@@ -") && !files_.empty()) {
                GRAFT_CHECK(take_hunk(line));
            } else if (in_git_header_) {
                take_git_header(line);
            } else if (line.starts_with("*** ") && peek().starts_with("--- ")) {
                return refused(fmt::format("{}:{}: a context diff; make a unified one (diff -u)", name_, number_));
            }
        }
        if (files_.empty()) return refused(fmt::format("{}: holds no unified diff", name_));
        return std::move(files_);
    }

private:
    bool at_end() const { return position_ >= text_.size(); }
    std::string_view line_at(usize position) const {
        std::string_view line = text_.substr(position, text_.find('\n', position) - position);
        return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
    }
    std::string_view peek() const { return at_end() ? std::string_view() : line_at(position_); }
    std::string_view next() {
        std::string_view line = line_at(position_);
        usize end = text_.find('\n', position_);
        returned_ = end != std::string_view::npos && end > position_ && text_[end - 1] == '\r';
        position_ = end == std::string_view::npos ? text_.size() : end + 1;
        ++number_;
        return line;
    }

    // Names of a file without hunks (a rename, a new empty file) stand nowhere else.
    void begin_git(std::string_view rest) {
        FileDiff file;
        file.git = true;
        usize middle = rest.size() / 2;  // "a/NAME b/NAME": the same length twice, if it isn't a rename
        if (rest.size() % 2 == 1 && rest[middle] == ' ') {
            file.old_path = path_of(rest.substr(0, middle));
            file.new_path = path_of(rest.substr(middle + 1));
        }
        files_.push_back(std::move(file));
        in_git_header_ = true;
    }

    void take_git_header(std::string_view line) {
        FileDiff& file = files_.back();
        std::string_view rest = line;
        if (take_word(rest, "new file mode ")) file.kind = FileDiff::Kind::create;
        if (take_word(rest, "deleted file mode ")) file.kind = FileDiff::Kind::remove;
        if (take_word(rest, "new mode ")) file.mode = true;
        if (take_word(rest, "rename from ") || take_word(rest, "copy from ")) {
            file.kind = line.starts_with("rename") ? FileDiff::Kind::rename : FileDiff::Kind::copy;
            file.old_path = path_of(rest);
        }
        if (take_word(rest, "rename to ") || take_word(rest, "copy to ")) file.new_path = path_of(rest);
        if (line.starts_with("GIT binary patch") || line.starts_with("Binary files ")) file.binary = true;
    }

    // Are these the names of the file whose header git has written before?
    bool belongs(const std::string& old_path) const {
        if (!in_git_header_) return false;
        const std::string& known = files_.back().old_path;
        return known.empty() || old_path == "/dev/null" || old_path == known || old_path.ends_with("/" + known);
    }

    void begin_names(std::string_view old_rest, std::string_view new_rest) {
        if (!belongs(path_of(old_rest))) files_.emplace_back();
        FileDiff& file = files_.back();
        in_git_header_ = false;
        if (file.kind == FileDiff::Kind::rename || file.kind == FileDiff::Kind::copy) return;
        std::string old_path = path_of(old_rest);
        std::string new_path = path_of(new_rest);
        if (old_path == "/dev/null" || (!file.git && has_no_time(old_rest))) file.kind = FileDiff::Kind::create;
        if (new_path == "/dev/null" || (!file.git && has_no_time(new_rest))) file.kind = FileDiff::Kind::remove;
        file.old_path = old_path == "/dev/null" ? new_path : old_path;
        file.new_path = new_path == "/dev/null" ? old_path : new_path;
    }

    Outcome<void> take_hunk(std::string_view header) {
        Hunk hunk;
        usize began = number_;
        if (!read_hunk_header(header, hunk))
            return refused(fmt::format("{}:{}: not a hunk's header: {}", name_, number_, header));
        hunk.text = fmt::format("{}\n", header);
        usize olds = hunk.old_count;
        usize news = hunk.new_count;
        while (olds != 0 || news != 0 || peek().starts_with('\\')) {
            std::string_view line = at_end() ? std::string_view("?") : next();
            char kind = line.empty() ? ' ' : line[0];  // mail programs cut the blank of an empty line of context
            bool takes_old = kind == ' ' || kind == '-';
            bool takes_new = kind == ' ' || kind == '+';
            if ((!takes_old && !takes_new && kind != '\\') || (takes_old && olds == 0) || (takes_new && news == 0))
                return refused(fmt::format("{}:{}: the hunk that begins in line {} ends too early or is damaged", name_,
                                           number_, began));
            olds -= takes_old;
            news -= takes_new;
            files_.back().has_returns |= returned_ && kind != '\\';
            hunk.text += line.empty() ? std::string_view(" ") : line;
            hunk.text += '\n';
        }
        files_.back().hunks.push_back(std::move(hunk));
        return {};
    }

    std::string_view text_;
    const std::string& name_;
    usize position_ = 0;
    usize number_ = 0;  // of the line that next() gave
    bool returned_ = false;
    bool in_git_header_ = false;
    std::vector<FileDiff> files_;
};

}  // namespace

Outcome<std::vector<FileDiff>> parse_diff(std::string_view text, const std::string& name) {
    return Parser(text, name).run();
}

std::string strip_components(const std::string& path, usize count) {
    usize at = 0;
    for (usize i = 0; i < count; ++i) {
        at = path.find('/', at);
        if (at == std::string::npos) return {};
        while (at < path.size() && path[at] == '/') ++at;
    }
    return path.substr(at);
}

}  // namespace graft::build
