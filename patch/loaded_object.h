// LoadedObject: a patch's code and data in memory. create() does it as a transaction: memory, relocations checked,
// copied and applied, unwind table verified, sealed, registered; whatever fails, all before is undone. The destructor
// unregisters and releases; who destroys one knows that nothing runs in it or points into it.
//
// Locking: the registry's lock. Context: task.
#pragma once

#include <string_view>

#include "base/types.h"
#include "patch/machine.h"
#include "patch/memory.h"
#include "patch/plan.h"
#include "patch/refusal.h"

namespace graft::patch {

class LoadedObject {
public:
    LoadedObject() = default;
    LoadedObject(const LoadedObject&) = delete;
    LoadedObject& operator=(const LoadedObject&) = delete;
    ~LoadedObject() { reset(); }

    // `patch_name` lives as long as this object, which must not move: the machine keeps a reference to its code().
    RefusalResult<void> create(Machine& machine, const Plan& plan, std::string_view patch_name);
    void reset();

    const PatchMemory& memory() const { return memory_; }
    const PatchCode& code() const { return code_; }
    u64 memory_bytes() const { return memory_bytes_; }
    VirtAddr address_of(const Plan& plan, const PlannedFunc& func) const;
    // Null when there is none.
    VirtAddr address_of(const Plan& plan, const PlannedCallback& callback) const;
    // True if the address lies in text, rodata or data.
    bool contains(VirtAddr address) const;

    bool has_constructors() const { return !constructors_.empty(); }
    // Once, in the order of .init_array.
    void run_constructors();
    // Those that were registered, once, the last one first.
    void run_destructors();

private:
    RefusalResult<void> reserve(const Plan& plan);
    RefusalResult<void> fill(const Plan& plan);
    RefusalResult<void> list_functions(const Plan& plan);
    RefusalResult<void> keep_names(const Plan& plan);
    RefusalResult<void> check_frames(const Plan& plan);
    RefusalResult<void> list_constructors(const Plan& plan);
    RefusalResult<void> publish();

    Machine* machine_ = nullptr;
    PatchMemory memory_;
    u64 memory_bytes_ = 0;
    PatchCode code_;
    bool registered_ = false;
    VirtAddr destructors_;  // the table; null when there is none
    RecordArray<char> names_;
    RecordArray<char> display_names_;
    RecordArray<CodeSymbol> symbols_;
    RecordArray<VirtAddr> constructors_;
};

}  // namespace graft::patch
