// The reference model: which version must a call see? It knows the patches as sets of functions and each task's calls,
// and nothing of universes, call sites, trampolines or stacks as the core sees them.
//
// An episode of a task with regard to a patch lasts from the call that brings it into a function that the patch
// replaces or holds, or into the patch's own code, until it has left them all. Within an episode all calls of replaced
// functions go to the patch, or none does (design rule 1). Outside of transitions what they must do is known.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/types.h"

namespace graft::sim {

// One patch that a history may load.
struct PatchDefinition {
    std::string name;
    std::set<usize> replaced;  // image functions
    std::set<usize> held;
    bool leaks = false;  // its code hands out a pointer to its helper

    bool claims(usize function) const { return replaced.contains(function) || held.contains(function); }
};

enum class Force : u8 { out, changing, in };  // is the patch in force?

// A task's standing with regard to one patch.
struct Episode {
    usize depth = 0;
    bool has_called = false;
    bool went_to_patch = false;
};

class Model {
public:
    explicit Model(std::vector<PatchDefinition> definitions)
        : definitions_(std::move(definitions)), force_(definitions_.size(), Force::out) {}

    const std::vector<PatchDefinition>& definitions() const { return definitions_; }
    Force force(usize definition) const { return force_[definition]; }
    void set_force(usize definition, Force force) { force_[definition] = force; }

    // `function` is entered by a call; `own` is the patch whose own helper it is, or nothing.
    void enter(std::vector<Episode>& episodes, const usize* function, const usize* own) const {
        for (usize i = 0; i < definitions_.size(); ++i) episodes[i].depth += counts(i, function, own);
    }
    void leave(std::vector<Episode>& episodes, const usize* function, const usize* own) const {
        for (usize i = 0; i < definitions_.size(); ++i) {
            if (!counts(i, function, own)) continue;
            if (--episodes[i].depth == 0) episodes[i] = {};
        }
    }

    // A call of `function` went to the code of patch `went_to`, or (none) to the original. Empty: as it must be.
    std::string judge(std::vector<Episode>& episodes, usize function, const usize* went_to) const {
        for (usize i = 0; i < definitions_.size(); ++i) {
            if (!definitions_[i].replaced.contains(function)) continue;
            bool to_patch = went_to != nullptr && *went_to == i;
            std::string what = "f" + std::to_string(function) + " of patch " + definitions_[i].name;
            if (force_[i] == Force::in && !to_patch) return "an old call after completion: " + what;
            if (force_[i] == Force::out && to_patch) return "a new call of a patch that isn't in force: " + what;
            Episode& episode = episodes[i];
            if (episode.has_called && episode.went_to_patch != to_patch)
                return "mixed versions in one episode: " + what;
            episode.has_called = true;
            episode.went_to_patch = to_patch;
        }
        return {};
    }

private:
    bool counts(usize definition, const usize* function, const usize* own) const {
        if (own != nullptr) return *own == definition;
        return function != nullptr && definitions_[definition].claims(*function);
    }

    std::vector<PatchDefinition> definitions_;
    std::vector<Force> force_;
};

}  // namespace graft::sim
