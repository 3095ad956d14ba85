// Relocations: the types that GCC emits for the kernel code model, and their values once the patch has a place.
//
// Everything is computed and checked before the first byte is written: check() for all of them, then apply().
// Locking: the registry's lock. Context: task.
#pragma once

#include "base/types.h"
#include "patch/elf.h"
#include "patch/machine.h"
#include "patch/plan.h"
#include "patch/refusal.h"

namespace graft::patch {

// Bytes that a relocation of this type stores; 0 for a type that isn't supported.
constexpr u32 relocation_width(u32 type) {
    switch (type) {
        case elf::kRelocation64:
            return 8;
        case elf::kRelocation32S:
        case elf::kRelocationPc32:
        case elf::kRelocationPlt32:
            return 4;
        default:
            return 0;
    }
}

class Relocator {
public:
    Relocator(const Plan& plan, const PatchMemory& memory) : plan_(plan), memory_(memory) {}

    // Where the section begins; only for one that is loaded.
    VirtAddr section_address(u32 section) const;
    // Do all values fit?
    RefusalResult<void> check() const;
    // The sections have been copied to their places, and check() found nothing.
    void apply() const;

private:
    u64 value(u32 section, const elf::Rela& rela) const;
    u64 target(u32 section, const elf::Rela& rela) const;
    u64 symbol_address(const PlannedSymbol& symbol) const;

    const Plan& plan_;
    const PatchMemory& memory_;
};

}  // namespace graft::patch
