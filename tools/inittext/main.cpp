// inittext: finds the functions of an image that only run while it boots, for .init.text, which is released afterwards.
//
//   list IMAGE MAP OUT   writes the part of the linker script that places them, from an image linked without it
//   check IMAGE          everything in .init.text only runs while the image boots, and can be left
//
// What only runs at boot is the notion of tools/differ/call_graph.h. Of that, a function is placed when
//   - it belongs to the kernel's floors: what an application did at its start, patches may want to do again;
//   - it is Graft's by its name: the language's runtime is there for patches, whether the image uses it or not;
//   - it is alone in its section, as the compiler leaves it;
//   - it isn't weak: a patch may refer to the image's copy of an inline function;
//   - it returns. One that doesn't may stand on the boot processor's stack for ever.

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "tools/differ/call_graph.h"
#include "tools/differ/link_map.h"

namespace graft::tools {

namespace {

using differ::CallGraph;
using differ::CodeNode;
using differ::LinkMap;

constexpr std::string_view kObjects = "build/image/";
constexpr std::string_view kFloors[] = {"base", "formats", "arch", "patch", "kernel", "drivers", "control", "boot"};

bool is_of_floors(std::string_view object) {
    if (!object.starts_with(kObjects)) return false;
    object.remove_prefix(kObjects.size());
    std::string_view floor = object.substr(0, object.find('/'));
    return std::ranges::find(kFloors, floor) != std::end(kFloors);
}

bool belongs(const CodeNode& node) {
    bool is_ours = std::ranges::any_of(node.names, [](const std::string& name) { return name.contains("5graft"); });
    return !node.live && !node.start_code && !node.weak && node.decoded && node.has_return && is_ours;
}

// The function that a section holds, if it holds one alone.
const CodeNode* only_function(const CallGraph& graph, const differ::LinkedSection& section) {
    auto first = graph.nodes().lower_bound(section.address);
    if (first == graph.nodes().end() || first->first != section.address) return nullptr;
    auto next = std::next(first);
    bool is_alone = next == graph.nodes().end() || next->first >= section.address + section.size;
    return is_alone ? &first->second : nullptr;
}

PackResult<CallGraph> read_graph(const std::string& path) {
    return CallGraph::read(GRAFT_TRY(read_file(path)), path);
}

PackResult<void> list(const std::string& image, const std::string& map_path, const std::string& out) {
    CallGraph graph = GRAFT_TRY(read_graph(image));
    auto text = GRAFT_TRY(read_file(map_path));
    LinkMap map = GRAFT_TRY(LinkMap::parse({reinterpret_cast<const char*>(text.data()), text.size()}, map_path));
    std::set<std::string> lines;
    for (const std::string& object : map.objects()) {
        const auto* sections = is_of_floors(object) ? map.object(object) : nullptr;
        if (sections == nullptr) continue;
        for (const differ::LinkedSection& section : *sections) {
            if (section.discarded || section.size == 0 || !section.name.starts_with(".text.")) continue;
            const CodeNode* function = only_function(graph, section);
            if (function != nullptr && belongs(*function)) lines.insert(fmt::format("{}({})\n", object, section.name));
        }
    }
    std::ofstream file(out);
    for (const std::string& line : lines) file << line;
    if (!file.flush()) return pack_error(out + ": can't be written");
    return {};
}

PackResult<void> check(const std::string& path) {
    CallGraph graph = GRAFT_TRY(read_graph(path));
    usize count = 0;
    for (const auto& [entry, node] : graph.nodes()) {
        if (!node.init_text) continue;
        ++count;
        if (!belongs(node))
            return pack_error(fmt::format("{}: {} is in .init.text, and may run later", path, node.name()));
    }
    fmt::print("inittext: functions={}\n", count);
    return {};
}

std::optional<PackResult<void>> run(const std::vector<std::string>& words) {
    std::string command = words.empty() ? "" : words[0];
    if (command == "list" && words.size() == 4) return list(words[1], words[2], words[3]);
    if (command == "check" && words.size() == 2) return check(words[1]);
    return std::nullopt;
}

}  // namespace

}  // namespace graft::tools

int main(int argc, char** argv) {
    auto result = graft::tools::run({argv + 1, argv + argc});
    if (!result) {
        std::fprintf(stderr, "usage: inittext list IMAGE MAP OUT | check IMAGE\n");
        return 2;
    }
    if (*result) return 0;
    std::fprintf(stderr, "inittext: %s\n", result->error().text.c_str());
    return 1;
}
