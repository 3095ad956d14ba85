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

struct PatchState {
    std::string name, set, version, description, fixes, built_from, built_with, signer;
    bool enabled = false;
    bool in_transition = false;
    std::string replaces, dormant;
    std::string probation;  // seconds left
    std::string faults;     // in its code, contained

    // "enabled", "loading", "unloading"
    std::string state() const;
};

// The registered patches, as the tree shows them.
Outcome<std::vector<PatchState>> read_patches(NinepClient& client);
Outcome<std::vector<std::string>> patch_names(NinepClient& client);
Outcome<std::vector<PatchState>> read_patches(NinepClient& client, const std::vector<std::string>& names);

}  // namespace graft::tool
