// Patch: a loaded patch. The registry owns it from load() until its memory is freed.
//
// Locking: the registry's lock, but for what a transition's examiner reads (patch/changing_set.h).
#pragma once

#include <array>
#include <string_view>

#include "base/intrusive_list.h"
#include "base/types.h"
#include "patch/canary.h"
#include "patch/func_stack.h"
#include "patch/health.h"
#include "patch/loaded_object.h"
#include "patch/machine.h"
#include "patch/memory.h"
#include "patch/set_versions.h"
#include "patch/state.h"
#include "patch/views.h"

namespace graft::patch {

inline constexpr usize kMaxLingeringPlaces = 8;  // references into a lingering patch that are kept to be shown

inline constexpr usize kMaxPatches = 128;  // registered, dormant and lingering

// A set of patches by an index below kMaxPatches.
class PatchIndexSet {
public:
    void add(u32 index) { words_[index / 64] |= u64{1} << (index % 64); }
    bool empty() const { return (words_[0] | words_[1]) == 0; }
    bool intersects(const PatchIndexSet& other) const {
        return ((words_[0] & other.words_[0]) | (words_[1] & other.words_[1])) != 0;
    }

private:
    std::array<u64, kMaxPatches / 64> words_{};
};

struct PatchTexts {
    std::string_view name, set, version, description, fixes, built_from, built_with;
};

struct Patch {
    ListHook hook;  // of the registered or of the lingering patches
    Stage stage = Stage::loading;
    bool endless = false;
    u64 loaded_ns = 0;

    PatchTexts texts;  // in text_storage
    RecordArray<char> text_storage;
    RecordOwner<SetVersion> set_version;  // until the patch is in force for the first time
    std::string_view signer;  // name of the key that vouched for it, in the machine's table; empty: unsigned
    LoadedObject object;
    RecordArray<Func> funcs;  // sorted by old entry
    RecordArray<Hold> holds;  // sorted by entry
    RecordArray<State> states;

    // The patch of the same set that this one replaces, from load() on until that one is retired; and the other way.
    Patch* predecessor = nullptr;
    Patch* successor = nullptr;
    RecordArray<Func> no_ops;  // for functions that the predecessor replaces and this one doesn't; go with it
    Label<200> replaces;       // the predecessor's name, also when it has gone

    u64 probation_ns = 0;        // asked for by its load; 0: none
    u64 nudge_period_ns = 0;     // asked for by its load, for its load's transition; 0: nobody is nudged
    CanaryPolicy canary;         // asked for by its load
    bool is_measured = false;    // since its load as a canary: until it is in force without probation, or out of force
    HealthRules health;          // asked for by its load
    u64 probation_end_ns = 0;    // 0: not on probation
    bool rollback_due = false;   // it is to be rolled back by itself as soon as no transition runs
    bool rollback_told = false;  // that it couldn't begin
    bool forced = false;         // it was put out of force by force: its code may be running still
    bool destructors_due = false;
    bool is_watched = false;  // faults in its code are contained
    u64 faults = 0;           // that were

    std::array<Reference, kMaxLingeringPlaces> places{};  // lingering: the first references found
    u64 reference_count = 0;
    bool searched = false;        // lingering: the search that is under way looks for references into it, too
    bool lingering_told = false;  // in the history
    u32 lingering_index = 0;      // during one search
    PatchIndexSet held_by;        // lingering patches with words into this one
    Reference first_inner;        // the first of these words

    bool is_on_probation() const { return probation_end_ns != 0; }
    bool is_in_transition() const { return stage == Stage::appearing || stage == Stage::disappearing; }
    const Func* find_func(VirtAddr entry) const;
    const State* find_state(u64 id) const;
    // Does it replace or hold the function that begins there?
    bool claims(VirtAddr entry) const;
    // Copies the texts; false when there is no memory.
    [[nodiscard]] bool set_texts(Machine& machine, const PatchTexts& from);
};

}  // namespace graft::patch
