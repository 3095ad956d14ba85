#include "patch/relocate.h"

#include <cstring>

#include "base/assert.h"

namespace graft::patch {

namespace {

bool is_pc_relative(u32 type) {
    return type == elf::kRelocationPc32 || type == elf::kRelocationPlt32;
}

bool fits(u32 type, u64 value) {
    if (relocation_width(type) == 8) return true;
    return static_cast<u64>(static_cast<i64>(static_cast<i32>(static_cast<u32>(value)))) == value;
}

VirtAddr area_begin(Area area, const PatchMemory& memory) {
    switch (area) {
        case Area::text:
            return memory.text.begin;
        case Area::rodata:
            return memory.rodata.begin;
        case Area::data:
            return memory.data.begin;
        case Area::none:
            break;
    }
    GRAFT_ASSERT(false);
    return {};
}

}  // namespace

VirtAddr Relocator::section_address(u32 section) const {
    const PlannedSection& planned = plan_.section(section);
    return area_begin(planned.area, memory_) + planned.offset;
}

u64 Relocator::symbol_address(const PlannedSymbol& symbol) const {
    switch (symbol.kind) {
        case PlannedSymbol::Kind::image:
            return symbol.address;
        case PlannedSymbol::Kind::local:
            return section_address(symbol.section).value + symbol.offset;
        case PlannedSymbol::Kind::handle:
            return memory_.data.begin.value + plan_.destructors_offset();
        case PlannedSymbol::Kind::unresolved:
            break;
    }
    GRAFT_ASSERT(false);
    return 0;
}

// Whoever means the new function of a func means the function, and that is its old entry: a call goes through the call
// site, an address equals the image's and outlives the patch. Only the unwind table speaks of the code that lies in the
// patch, be it a new function or the idle copy of one that the image has.
u64 Relocator::target(u32 section, const elf::Rela& rela) const {
    const PlannedSymbol& symbol = plan_.symbol(rela.symbol());
    u64 addend = static_cast<u64>(rela.addend);
    if (section == plan_.frames_section() && symbol.section != 0) {
        return section_address(symbol.section).value + symbol.offset + addend;
    }
    // What the compiler took off the addend, since a displacement counts from the next instruction.
    u64 to_next_instruction = is_pc_relative(rela.type()) ? 4 : 0;
    if (symbol.kind == PlannedSymbol::Kind::local) {
        auto* func = plan_.find_new_function(symbol.section, symbol.offset + addend + to_next_instruction);
        if (func != nullptr) return func->old.entry.value - to_next_instruction;
    }
    return symbol_address(symbol) + addend;
}

u64 Relocator::value(u32 section, const elf::Rela& rela) const {
    u64 place = section_address(section).value + rela.offset;
    u64 found = target(section, rela);
    return is_pc_relative(rela.type()) ? found - place : found;
}

RefusalResult<void> Relocator::check() const {
    return plan_.for_each_relocation(
        [&](u32 section, const elf::Section& target, const elf::Rela& rela) -> RefusalResult<void> {
            u64 computed = value(section, rela);
            if (fits(rela.type(), computed)) return {};
            return refuse(RefusalCode::relocation_overflow, plan_.object().section_name(target), rela.offset, computed);
        });
}

void Relocator::apply() const {
    auto applied =
        plan_.for_each_relocation([&](u32 section, const elf::Section&, const elf::Rela& rela) -> RefusalResult<void> {
            u64 computed = value(section, rela);
            VirtAddr place = section_address(section) + rela.offset;
            std::memcpy(place.as<>(), &computed, relocation_width(rela.type()));
            return {};
        });
    GRAFT_ASSERT(applied.has_value());
}

}  // namespace graft::patch
