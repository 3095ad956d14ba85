// The end of a patch: destructors, the search for what still points into it, and its release.
#include "patch/registry.h"

namespace graft::patch {

// Sorts what the machine finds to the lingering patch that the word points into. A patch's own data may point into the
// patch: it goes together with it.
class Registry::ReferenceFilter final : public ReferenceSink {
public:
    explicit ReferenceFilter(PatchList& patches) : patches_(patches) {}

    void found(const Reference& reference) override {
        VirtAddr word(reference.word);
        for (Patch& patch : patches_) {
            if (!patch.object.contains(word)) continue;
            if (patch.object.contains(reference.place)) return;
            if (patch.reference_count < patch.places.size()) patch.places[patch.reference_count] = reference;
            ++patch.reference_count;
            return;
        }
    }

private:
    PatchList& patches_;
};

// The patch is out of force: off every func stack and list, and no task is inside.
void Registry::retire(Patch& patch) {
    patch.object.run_destructors();
    patch.stage = Stage::lingering;
    patch.reference_count = 0;
    lingering_.push_back(patch);
}

usize Registry::collect_lingering() {
    if (lingering_.empty()) return 0;
    usize count = 0;
    for (Patch& patch : lingering_) {
        const PatchMemory& memory = patch.object.memory();
        for (AddressRange range : {memory.text, memory.rodata, memory.data}) {
            if (!range.empty()) searched_[count++] = range;
        }
    }
    // What had been found before stays known until the new search is over, to tell a new lingering patch from an old
    // one.
    std::array<bool, kMaxPatches> lingered{};
    usize index = 0;
    for (Patch& patch : lingering_) {
        lingered[index++] = patch.reference_count != 0;
        patch.reference_count = 0;
    }
    ReferenceFilter filter(lingering_);
    machine_.find_references(std::span(searched_).first(count), filter);

    usize freed = 0;
    index = 0;
    for (Patch* patch = lingering_.front(); patch != nullptr;) {
        Patch* next = lingering_.next(*patch);
        bool is_new = !lingered[index++];
        if (patch->reference_count == 0) {
            lingering_.remove(*patch);
            record(HistoryEvent::freed, patch->texts.name);
            --patch_count_;
            release(*patch);
            ++freed;
        } else if (is_new) {
            record_lingering(*patch);
        }
        patch = next;
    }
    return freed;
}

usize Registry::retry_lingering() {
    MachineGuard guard(machine_);
    return collect_lingering();
}

void Registry::release(Patch& patch) {
    RecordOwner<Patch>::adopt(machine_, patch).reset();
}

}  // namespace graft::patch
