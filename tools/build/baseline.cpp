#include "tools/build/baseline.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>

namespace graft::build {
namespace {

namespace fs = std::filesystem;
using tool::refused;

constexpr std::string_view kFirstLine = "graft-baseline 1";

std::vector<std::string> fields_of(const std::string& line) {
    std::vector<std::string> fields;
    usize begin = 0;
    for (usize tab = line.find('\t'); tab != std::string::npos; tab = line.find('\t', begin)) {
        fields.push_back(line.substr(begin, tab - begin));
        begin = tab + 1;
    }
    fields.push_back(line.substr(begin));
    return fields;
}

bool ends_a_component(std::string_view text, usize at) {
    return at == text.size() || text[at] == '/' || text[at] == '=' || text[at] == ':';
}

// Is `name` in `folder`, or below it?
bool lies_in(std::string_view name, std::string_view folder) {
    return name.size() > folder.size() && name.starts_with(folder) && name[folder.size()] == '/';
}

}  // namespace

bool is_source_name(std::string_view name) {
    constexpr std::string_view kSuffixes[] = {".h", ".hpp", ".inc", ".c", ".cpp", ".S"};
    return std::ranges::any_of(kSuffixes, [name](std::string_view suffix) { return name.ends_with(suffix); });
}

// Takes the record's lines one by one; false for one that makes no sense.
struct Baseline::Reader {
    Baseline& baseline;

    bool take_recipe(const std::string& word, const std::string& number, Recipe& recipe) {
        auto found = std::ranges::find(baseline.compilers_, word, &Compiler::word);
        if (found == baseline.compilers_.end()) return false;
        recipe.compiler = static_cast<usize>(found - baseline.compilers_.begin());
        const char* end = number.data() + number.size();
        auto parsed = std::from_chars(number.data(), end, recipe.flags);
        return parsed.ec == std::errc{} && parsed.ptr == end && recipe.flags < baseline.flags_.size();
    }

    bool take(const std::vector<std::string>& line) {
        const std::string& kind = line[0];
        if (kind == "root" && line.size() == 2) return !(baseline.tree_ = line[1]).empty();
        if (kind == "fetched" && line.size() == 2) return !(baseline.fetched_ = line[1]).empty();
        if (kind == "app" && line.size() == 2) return !(baseline.app_ = line[1]).empty();
        if (kind == "compiler" && line.size() == 4)
            return baseline.compilers_.push_back({line[1], line[2], line[3]}), true;
        if (kind == "flags") return baseline.flags_.emplace_back(line.begin() + 1, line.end()), true;
        if (kind == "from" && line.size() == 2 && !baseline.units_.empty())
            return baseline.units_.back().from.push_back(line[1]), true;
        Recipe recipe;
        if (line.size() != 5 || !take_recipe(line[3], line[4], recipe)) return false;
        if (kind == "unit") return baseline.units_.push_back({line[1], line[2], recipe, {}}), true;
        if (kind == "template") return baseline.templates_.push_back({line[1], line[2], recipe}), true;
        return false;
    }
};

Outcome<Baseline> Baseline::open(const std::string& folder) {
    Baseline baseline;
    std::error_code error;
    baseline.folder_ = folder;
    baseline.root_ = fs::absolute(folder, error) / "baseline";
    while (baseline.folder_.size() > 1 && baseline.folder_.ends_with('/')) baseline.folder_.pop_back();
    if (!fs::is_directory(folder, error))
        return refused(
            fmt::format("{}: no such folder; --base is the build folder of an image, such as build/demo", folder));
    baseline.root_ = fs::canonical(folder, error) / "baseline";
    if (!fs::is_regular_file(baseline.root_ / "record", error))
        return refused(
            fmt::format("{}: not the build folder of an image, or of one made before patches could be built for "
                        "it; make the image again",
                        baseline.folder_));
    GRAFT_CHECK(baseline.read_record());
    GRAFT_CHECK(baseline.read_names());
    return baseline;
}

Outcome<void> Baseline::read_record() {
    fs::path path = root_ / "record";
    std::ifstream file(path);
    std::string line;
    if (!std::getline(file, line) || line != kFirstLine)
        return refused(fmt::format("{}: expected '{}', found '{}': written by another version; make the image again",
                                   path.string(), kFirstLine, line.substr(0, 60)));
    Reader reader{*this};
    for (usize number = 2; std::getline(file, line); ++number) {
        if (!reader.take(fields_of(line)))
            return refused(fmt::format("{}:{}: damaged; make the image again", path.string(), number));
    }
    if (tree_.empty() || fetched_.empty() || units_.empty())
        return refused(fmt::format("{}: cut off; make the image again", path.string()));
    return {};
}

Outcome<void> Baseline::read_names() {
    std::error_code error;
    fs::path top = sources();
    for (fs::recursive_directory_iterator at(top, error), end; !error && at != end; at.increment(error)) {
        if (at->is_regular_file(error)) names_.insert(at->path().lexically_relative(top).string());
    }
    if (names_.empty()) return refused(fmt::format("{}: no sources in it; make the image again", top.string()));
    for (const BaselineUnit& unit : units_) {
        for (const std::string& name : unit.from) {
            if (!name.starts_with('/') && !has(name))
                return refused(fmt::format("{}: {} is missing; make the image again", top.string(), name));
        }
        if (!fs::is_regular_file(objects() / unit.object, error))
            return refused(
                fmt::format("{}: the object {} is missing; make the image again", objects().string(), unit.object));
    }
    return {};
}

const Recipe* Baseline::recipe_for(const std::string& source) const {
    std::string suffix = fs::path(source).extension().string();
    const Template* best = nullptr;
    for (const Template& one : templates_) {
        if (one.suffix != suffix || !lies_in(source, one.folder)) continue;
        if (best == nullptr || one.folder.size() > best->folder.size()) best = &one;
    }
    return best != nullptr ? &best->recipe : nullptr;
}

bool Baseline::is_inside(const std::string& name) const {
    if (has(name)) return true;
    if (!is_source_name(name) || name.find("/patches/") != std::string::npos) return false;
    return std::ranges::any_of(templates_, [&name](const Template& one) { return lies_in(name, one.folder); });
}

std::vector<std::string> Baseline::folders() const {
    std::set<std::string> all;
    for (const Template& one : templates_) all.insert(one.folder);
    std::vector<std::string> top;
    for (const std::string& folder : all) {  // in order, so a folder comes before those inside it
        if (top.empty() || !lies_in(folder, top.back())) top.push_back(folder);
    }
    return top;
}

std::vector<std::string> Baseline::command(const Recipe& recipe, const std::string& source,
                                           const fs::path& sources) const {
    // Longer ones first: one may lie in the other.
    std::vector<std::pair<std::string, std::string>> moved{{tree_, sources.string()},
                                                           {fetched_, (sources / "build-sources").string()}};
    if (!app_.empty()) moved.emplace_back(app_, (sources / "app").string());
    std::ranges::sort(moved, [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });

    std::vector<std::string> words{compilers_[recipe.compiler].path};
    for (const std::string& flag : flags_[recipe.flags]) {
        std::string word;
        for (usize at = 0; at < flag.size();) {
            auto hit = std::ranges::find_if(moved, [&flag, at](const auto& one) {
                return flag.compare(at, one.first.size(), one.first) == 0 &&
                       ends_a_component(flag, at + one.first.size());
            });
            word += hit != moved.end() ? hit->second : std::string(1, flag[at]);
            at += hit != moved.end() ? hit->first.size() : 1;
        }
        words.push_back(std::move(word));
    }
    words.emplace_back("-c");
    bool outside = is_fetched(source) || (!app_.empty() && source.starts_with("app/"));
    words.push_back(outside ? (sources / source).string() : source);
    return words;
}

std::string Baseline::shown(const std::string& name) const {
    constexpr std::string_view kFetched = "build-sources";
    if (is_fetched(name) && fetched_ != fmt::format("{}/{}", tree_, kFetched))
        return fetched_ + name.substr(kFetched.size());
    if (app_.empty() || !name.starts_with("app/")) return name;
    return app_ + name.substr(3);
}

}  // namespace graft::build
