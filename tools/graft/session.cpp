#include "tools/graft/session.h"

#include <fmt/format.h>

namespace graft::tool {

Outcome<std::unique_ptr<NinepClient>> attach(const Globals& globals) {
    if (globals.connect.empty())
        return misused("no guest named: give --connect CONNECT or set GRAFT_CONNECT (graft run prints it)");
    Connect connect = GRAFT_TRY(parse_connect(globals.connect));
    std::unique_ptr<LinkStream> stream = GRAFT_TRY(LinkStream::attach(connect, globals.deadline()));
    return NinepClient::attach(std::move(stream));
}

std::string attribute(const std::optional<std::string>& content) {
    if (!content) return {};
    std::string value = *content;
    while (value.ends_with('\n')) value.pop_back();
    return value;
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        usize end = std::min(text.find('\n'), text.size());
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

std::vector<std::string> columns_of(std::string_view line) {
    std::vector<std::string> columns;
    for (;;) {
        usize end = std::min(line.find('\t'), line.size());
        columns.emplace_back(line.substr(0, end));
        if (end == line.size()) return columns;
        line.remove_prefix(end + 1);
    }
}

std::string CanaryState::sentence() const {
    std::string who = fmt::format("{}: {} of {} tasks have moved", share, moved, total);
    if (moved != chosen) who = fmt::format("{}: {} of {} tasks are to move, {} have", share, chosen, total, moved);
    return fmt::format("{}; {}, {} s old", who, stage, age);
}

namespace {

CanaryState canary_of(const std::string& content) {
    if (content.empty()) return {};
    std::vector<std::string> columns = columns_of(content);
    columns.resize(6);
    return {.share = columns[0],
            .moved = columns[1],
            .chosen = columns[2],
            .total = columns[3],
            .stage = columns[4],
            .age = columns[5]};
}

}  // namespace

std::string PatchState::state() const {
    if (!in_transition) return enabled ? "enabled" : "loading";
    if (canary.stage == "moving" || canary.stage == "held") return "canary";
    return enabled ? "loading" : "unloading";
}

Outcome<std::vector<std::string>> patch_names(NinepClient& client) {
    std::vector<std::string> names;
    for (const DirectoryEntry& entry : GRAFT_TRY(client.list("/livepatch"))) {
        if (entry.directory) names.push_back(entry.name);
    }
    return names;
}

Outcome<std::vector<PatchState>> read_patches(NinepClient& client, const std::vector<std::string>& names) {
    constexpr const char* kAttributes[] = {"enabled",   "transition", "set",        "version",  "description",
                                           "fixes",     "built_from", "built_with", "replaces", "dormant",
                                           "probation", "signer",     "faults",     "canary"};
    std::vector<std::string> paths;
    for (const std::string& name : names) {
        for (const char* each : kAttributes) paths.push_back(fmt::format("/livepatch/{}/{}", name, each));
    }
    auto values = GRAFT_TRY(client.read_attributes(paths));
    std::vector<PatchState> patches;
    for (usize i = 0; i < names.size(); ++i) {
        const auto* value = &values[i * std::size(kAttributes)];
        if (!value[0]) continue;  // it has gone meanwhile
        patches.push_back({.name = names[i],
                           .set = attribute(value[2]),
                           .version = attribute(value[3]),
                           .description = attribute(value[4]),
                           .fixes = attribute(value[5]),
                           .built_from = attribute(value[6]),
                           .built_with = attribute(value[7]),
                           .signer = attribute(value[11]),
                           .enabled = attribute(value[0]) == "1",
                           .in_transition = attribute(value[1]) == "1",
                           .replaces = attribute(value[8]),
                           .dormant = attribute(value[9]),
                           .probation = attribute(value[10]),
                           .faults = attribute(value[12]),
                           .canary = canary_of(attribute(value[13]))});
    }
    return patches;
}

Outcome<std::vector<PatchState>> read_patches(NinepClient& client) {
    return read_patches(client, GRAFT_TRY(patch_names(client)));
}

}  // namespace graft::tool
