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

// After a transition, since then something may be gone that pointed into a lingering patch.
void Registry::request_search() {
    if (lingering_.empty() || machine_.search_later()) return;
    end_search(note_searched());
}

// Every patch that lingers now is searched for. Returns how many ranges that are.
usize Registry::note_searched() {
    usize count = 0;
    for (Patch& patch : lingering_) {
        patch.searched = true;
        const PatchMemory& memory = patch.object.memory();
        for (AddressRange range : {memory.text, memory.rodata, memory.data}) {
            if (!range.empty()) searched_[count++] = range;
        }
    }
    return count;
}

// What is searched for can't vanish before the end: lingering patches are released nowhere else.
usize Registry::end_search(usize count) {
    // What had been found before stays known until the new search is over, to tell a new lingering patch from an old
    // one.
    std::array<bool, kMaxPatches> lingered{};
    usize index = 0;
    for (Patch& patch : lingering_) {
        lingered[index++] = patch.reference_count != 0;
        if (patch.searched) patch.reference_count = 0;
    }
    ReferenceFilter filter(lingering_);
    machine_.find_references(std::span(searched_).first(count), filter);

    usize freed = 0;
    index = 0;
    for (Patch* patch = lingering_.front(); patch != nullptr;) {
        Patch* next = lingering_.next(*patch);
        judge(*patch, !lingered[index++], freed);
        patch = next;
    }
    return freed;
}

// One that began to linger while the search was on waits for the next.
void Registry::judge(Patch& patch, bool is_new, usize& freed) {
    if (!patch.searched) return;
    patch.searched = false;
    if (patch.reference_count != 0) {
        if (is_new) record_lingering(patch);
        return;
    }
    lingering_.remove(patch);
    record(HistoryEvent::freed, patch.texts.name);
    --patch_count_;
    release(patch);
    ++freed;
}

// Whether there is something to search for, and nobody does it.
usize Registry::begin_search() {
    MachineGuard guard(machine_);
    search_again_ = searching_;
    if (searching_) return 0;
    usize count = note_searched();
    searching_ = count != 0;
    return count;
}

usize Registry::retry_lingering() {
    usize freed = 0;
    for (usize count = begin_search(); count != 0;) {
        machine_.prepare_search(std::span(searched_).first(count));
        MachineGuard guard(machine_);
        freed += end_search(count);
        count = search_again_ ? note_searched() : 0;
        search_again_ = false;
        searching_ = count != 0;
    }
    return freed;
}

void Registry::release(Patch& patch) {
    RecordOwner<Patch>::adopt(machine_, patch).reset();
}

}  // namespace graft::patch
