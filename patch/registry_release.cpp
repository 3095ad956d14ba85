// The end of a patch: destructors, the search for what still points into it, and its release.
#include "patch/registry.h"

namespace graft::patch {

// Sorts what the machine finds to the lingering patch that the word points into. A patch's own data may point into the
// patch: it goes together with it. A word in another lingering patch counts only if that one stays.
class Registry::ReferenceFilter final : public ReferenceSink {
public:
    explicit ReferenceFilter(PatchList& patches) : patches_(patches) {}

    void found(const Reference& reference) override {
        Patch* target = patch_at(VirtAddr(reference.word));
        if (target == nullptr) return;
        Patch* holder = patch_at(reference.place);
        if (holder == target) return;
        if (holder == nullptr) return add(*target, reference);
        if (target->held_by.empty()) target->first_inner = reference;
        target->held_by.add(holder->lingering_index);
    }

    static void add(Patch& target, const Reference& reference) {
        if (target.reference_count < target.places.size()) target.places[target.reference_count] = reference;
        ++target.reference_count;
    }

private:
    Patch* patch_at(VirtAddr address) {
        for (Patch& patch : patches_) {
            if (patch.object.contains(address)) return &patch;
        }
        return nullptr;
    }

    PatchList& patches_;
};

// The patch is out of force: off every func stack and list, and no task is inside, unless it was forced out.
void Registry::retire(Patch& patch) {
    patch.destructors_due = patch.forced;
    if (!patch.forced) patch.object.run_destructors();
    patch.stage = Stage::lingering;
    patch.reference_count = 0;
    lingering_.push_back(patch);
}

// After a transition, since then something may be gone that pointed into a lingering patch.
void Registry::request_search() {
    if (lingering_.empty() || machine_.search_later()) return;
    do {
        search_again_ = false;
        end_search(note_searched());
    } while (search_again_);
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

// What is searched for can't vanish before the end: lingering patches are released nowhere else. One that began to
// linger while the search was on stays, and waits for the next.
usize Registry::end_search(usize count) {
    u32 index = 0;
    for (Patch& patch : lingering_) {
        patch.lingering_index = index++;
        if (!patch.searched) continue;
        patch.reference_count = 0;
        patch.held_by = {};
    }
    ReferenceFilter filter(lingering_);
    machine_.find_references(std::span(searched_).first(count), filter);

    PatchIndexSet staying;
    for (Patch& patch : lingering_) {
        if (!patch.searched || patch.reference_count != 0) staying.add(patch.lingering_index);
    }
    keep_held(staying);
    run_late_destructors();

    usize freed = 0;
    for (Patch* patch = lingering_.front(); patch != nullptr;) {
        Patch* next = lingering_.next(*patch);
        judge(*patch, freed);
        patch = next;
    }
    return freed;
}

// What a staying one points into stays.
void Registry::keep_held(const PatchIndexSet& staying) {
    PatchIndexSet all = staying;
    for (bool grows = true; grows;) {
        grows = false;
        for (Patch& patch : lingering_) {
            if (!patch.searched || patch.reference_count != 0 || !patch.held_by.intersects(all)) continue;
            ReferenceFilter::add(patch, patch.first_inner);
            all.add(patch.lingering_index);
            grows = true;
        }
    }
}

// Nothing can run any more in a patch that was forced out and that nothing points into. Its destructors may, once; they
// may leave pointers behind, so it is searched for once more.
void Registry::run_late_destructors() {
    for (Patch& patch : lingering_) {
        if (!patch.searched || patch.reference_count != 0 || !patch.destructors_due) continue;
        patch.destructors_due = false;
        patch.object.run_destructors();
        patch.searched = false;
        search_again_ = true;
    }
}

void Registry::judge(Patch& patch, usize& freed) {
    if (!patch.searched) return;
    patch.searched = false;
    if (patch.reference_count != 0) {
        if (!patch.lingering_told) record_lingering(patch);
        patch.lingering_told = true;
        return;
    }
    lingering_.remove(patch);
    record(HistoryEvent::freed, patch);
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

void Registry::search_lingering() {
    MachineGuard guard(machine_);
    request_search();
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
