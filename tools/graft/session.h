// Attaching to the guest that the global options name, and what the commands share about patches.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tools/graft/command.h"
#include "tools/graft/ninep_client.h"

namespace graft::tool {

Outcome<std::unique_ptr<NinepClient>> attach(const Globals& globals);

// The value of an attribute without its line end; empty when it isn't there.
std::string attribute(const std::optional<std::string>& content);

// Lines of a list, without the empty one behind the last.
std::vector<std::string> lines_of(std::string_view text);
std::vector<std::string> columns_of(std::string_view line);

// A load that is a canary, as its file in the tree shows it: empty texts when there is none.
struct CanaryState {
    std::string share;                 // as it was asked for
    std::string moved, chosen, total;  // tasks: of the share and moved, of the share, that it is taken of
    std::string stage;                 // moving, held, promoted, reversed
    std::string age;                   // seconds

    bool is_one() const { return !share.empty(); }
    // Its share has moved, and it waits to be promoted or reversed.
    bool is_held() const { return stage == "held"; }
    // "10%: 4 of 40 tasks, held for 12 s"
    std::string sentence() const;
};

struct PatchState {
    std::string name, set, version, description, fixes, built_from, built_with, signer;
    bool enabled = false;
    bool in_transition = false;
    std::string replaces, dormant;
    std::string probation;  // seconds left
    std::string faults;     // in its code, contained
    CanaryState canary;

    // "enabled", "loading", "canary", "unloading"
    std::string state() const;
};

// The registered patches, as the tree shows them.
Outcome<std::vector<PatchState>> read_patches(NinepClient& client);
Outcome<std::vector<std::string>> patch_names(NinepClient& client);
Outcome<std::vector<PatchState>> read_patches(NinepClient& client, const std::vector<std::string>& names);

}  // namespace graft::tool
