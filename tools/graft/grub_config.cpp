#include "tools/graft/grub_config.h"

#include <algorithm>

namespace graft::tool {
namespace {

std::string_view take_line(std::string_view& text) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    return line;
}

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    while (true) {
        line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
        if (line.empty()) return words;
        words.push_back(line.substr(0, line.find_first_of(" \t\r")));
        line.remove_prefix(words.back().size());
    }
}

bool is_command(std::string_view line, std::string_view command) {
    auto words = words_of(line);
    return words.size() > 1 && words[0] == command;
}

void append_line(std::string& out, std::string_view line) {
    out += line;
    out += '\n';
}

}  // namespace

std::optional<std::string> image_path(std::string_view config) {
    while (!config.empty()) {
        std::string_view line = take_line(config);
        if (is_command(line, "multiboot2")) return std::string(words_of(line)[1]);
    }
    return std::nullopt;
}

std::vector<std::string> module_paths(std::string_view config) {
    std::vector<std::string> paths;
    while (!config.empty()) {
        std::string_view line = take_line(config);
        std::string path = is_command(line, "module2") ? std::string(words_of(line)[1]) : "";
        if (!path.empty() && std::ranges::find(paths, path) == paths.end()) paths.push_back(path);
    }
    return paths;
}

std::string add_modules(std::string_view config, const std::vector<NewModule>& modules, std::string_view word) {
    std::string out;
    std::string indent;
    bool is_due = false;
    auto add = [&] {
        if (!is_due) return;
        for (const NewModule& module : modules) append_line(out, indent + "module2 " + module.path + " " + module.name);
        is_due = false;
    };
    while (!config.empty()) {
        std::string_view line = take_line(config);
        if (is_command(line, "multiboot2")) {
            add();
            auto words = words_of(line);
            indent = line.substr(0, line.find_first_not_of(" \t"));
            while (line.ends_with(' ') || line.ends_with('\r')) line.remove_suffix(1);
            bool has_word = word.empty() || std::ranges::find(words, word) != words.end();
            append_line(out, std::string(line) + (has_word ? "" : " " + std::string(word)));
            is_due = true;
            continue;
        }
        if (!is_command(line, "module2")) add();
        append_line(out, line);
    }
    add();
    return out;
}

}  // namespace graft::tool
