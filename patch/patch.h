// Patch: a loaded patch. The registry owns it from load() until its memory is freed.
//
// Locking: the registry's lock, but for what a transition's examiner reads (patch/changing_set.h).
#pragma once

#include <array>
#include <string_view>

#include "base/intrusive_list.h"
#include "base/types.h"
#include "patch/func_stack.h"
#include "patch/loaded_object.h"
#include "patch/machine.h"
#include "patch/memory.h"
#include "patch/views.h"

namespace graft::patch {

inline constexpr usize kMaxLingeringPlaces = 8;  // references into a lingering patch that are kept to be shown

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
    LoadedObject object;
    RecordArray<Func> funcs;  // sorted by old entry
    RecordArray<Hold> holds;  // sorted by entry

    // The patch of the same set that this one replaces, from load() on until that one is retired; and the other way.
    Patch* predecessor = nullptr;
    Patch* successor = nullptr;
    RecordArray<Func> no_ops;  // for functions that the predecessor replaces and this one doesn't; go with it
    Label<200> replaces;       // the predecessor's name, also when it has gone

    std::array<Reference, kMaxLingeringPlaces> places{};  // lingering: the first references found
    u64 reference_count = 0;
    bool searched = false;  // lingering: the search that is under way looks for references into it, too

    bool is_registered() const { return stage != Stage::loading && stage != Stage::lingering; }
    bool is_in_transition() const { return stage == Stage::appearing || stage == Stage::disappearing; }
    const Func* find_func(VirtAddr entry) const;
    // Does it replace or hold the function that begins there?
    bool claims(VirtAddr entry) const;
    // Copies the texts; false when there is no memory.
    [[nodiscard]] bool set_texts(Machine& machine, const PatchTexts& from);
};

}  // namespace graft::patch
