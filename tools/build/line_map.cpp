#include "tools/build/line_map.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/build/source_text.h"

namespace graft::build {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool goes_on_a_name(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '/' ||
           c == '.';
}

// A line of the text that is compiled, and what it should be called.
struct NumberedLine {
    std::string_view text;
    u32 number = 0;     // what the compiler is to call it
    u32 true_line = 0;  // of the patched file; 0 where it has no such line
};

class Neutraliser {
public:
    Neutraliser(const std::string& name, std::string_view baseline, std::string_view patched)
        : name_(name), baseline_(baseline), patched_(patched) {}

    Neutral run(const std::vector<LineChange>& changes, LineMap& map) {
        bool any = false;
        for (const LineChange& change : changes) {
            share(change.old_first - old_);
            bool same = means_the_same(baseline_, change.old_first, change.old_count, patched_, change.new_first,
                                       change.new_count);
            any = any || !same;
            same ? keep_old(change) : take_new(change);
        }
        share(baseline_.lines().size() - old_);
        return {written(map), any};
    }

private:
    void share(usize count) {
        for (usize i = 0; i < count; ++i, ++old_, ++new_)
            lines_.push_back({baseline_.lines()[old_].text, static_cast<u32>(old_ + 1), static_cast<u32>(new_ + 1)});
    }

    // Comments: the old lines stand for the new ones, as far as there are as many.
    void keep_old(const LineChange& change) {
        for (usize i = 0; i < change.old_count; ++i) {
            usize at = std::min(i, change.new_count == 0 ? 0 : change.new_count - 1);
            u32 true_line = change.new_count == 0 ? 0 : static_cast<u32>(change.new_first + at + 1);
            lines_.push_back(
                {baseline_.lines()[change.old_first + i].text, static_cast<u32>(change.old_first + i + 1), true_line});
        }
        skip(change);
    }

    void take_new(const LineChange& change) {
        for (usize i = 0; i < change.new_count; ++i) {
            u32 true_line = static_cast<u32>(change.new_first + i + 1);
            bool replaces = i < change.old_count;
            u32 number = replaces ? static_cast<u32>(change.old_first + i + 1) : kPatchedLines + true_line;
            lines_.push_back({patched_.lines()[change.new_first + i].text, number, true_line});
        }
        skip(change);
    }

    void skip(const LineChange& change) {
        old_ = change.old_first + change.old_count;
        new_ = change.new_first + change.new_count;
    }

    std::string plain() const {
        std::string text;
        for (const NumberedLine& line : lines_) text.append(line.text).append("\n");
        return text;
    }

    std::string written(LineMap& map) const {
        std::string all = plain();
        SourceText source(all);
        bool countable = !source.has_line_directives();
        std::string text;
        u32 number = 1;  // what the compiler would call the next line
        map.add_file(name_);
        for (usize i = 0; i < lines_.size(); ++i, ++number) {
            const NumberedLine& line = lines_[i];
            if (line.number != number && countable && source.takes_directive(i)) {
                number = line.number;
                text += fmt::format("#line {}\n", number);
            }
            text.append(line.text).append("\n");
            if (line.true_line != 0) map.add(name_, number, line.true_line);
        }
        return text;
    }

    const std::string& name_;
    SourceText baseline_;
    SourceText patched_;
    std::vector<NumberedLine> lines_;
    usize old_ = 0;
    usize new_ = 0;
};

}  // namespace

void LineMap::add(const std::string& file, u32 line, u32 true_line) {
    files_[file].try_emplace(line, true_line);
}

LineMap::Place LineMap::find(const std::string& file, u32 line) const {
    std::string name = file.starts_with("./") ? file.substr(2) : file;
    auto known = files_.find(name);
    if (known == files_.end() || line == 0) return {name, line, false};
    auto found = known->second.find(line);
    if (found != known->second.end()) return {name, found->second, false};
    return {name, line, true};
}

std::string LineMap::mapped(const std::string& text) const {
    std::string result;
    for (usize at = 0; at < text.size();) {
        bool begins = goes_on_a_name(text[at]) && (at == 0 || !goes_on_a_name(text[at - 1]));
        usize end = at + 1;
        while (begins && end < text.size() && goes_on_a_name(text[end])) ++end;
        usize digits = end + 1;
        while (begins && digits < text.size() && is_digit(text[digits])) ++digits;
        std::string name = text.substr(at, end - at);
        bool known = begins && files_.contains(name.starts_with("./") ? name.substr(2) : name);
        if (!known || end >= text.size() || text[end] != ':' || digits == end + 1 || digits - end > 9) {
            result += begins ? name : text.substr(at, 1);
            at = begins ? end : at + 1;
            continue;
        }
        Place place = find(name, static_cast<u32>(std::stoul(text.substr(end + 1, digits - end - 1))));
        result += fmt::format("{}:{}{}", place.file, place.line, place.gone ? " of the baseline" : "");
        at = digits;
    }
    return result;
}

Neutral neutralise(const std::string& name, std::string_view baseline, std::string_view patched,
                   const std::vector<LineChange>& changes, LineMap& map) {
    return Neutraliser(name, baseline, patched).run(changes, map);
}

}  // namespace graft::build
