// What each symbol of the object stands for, and whether every relocation can be computed.
#include <algorithm>

#include "formats/klp.h"
#include "patch/destructors.h"
#include "patch/plan.h"
#include "patch/relocate.h"

namespace graft::patch {

RefusalResult<void> Plan::resolve_symbols(const Machine& machine) {
    for (u32 i = 1; i < object_.symbol_count(); ++i) GRAFT_CHECK(resolve(machine, i));
    return {};
}

RefusalResult<void> Plan::resolve(const Machine& machine, u32 index) {
    auto symbol = object_.symbol(index);
    auto bad = [&](u64 found, u64 expected) { return refuse(RefusalCode::bad_symbol, {}, index, found, expected); };
    if (!object_.has_name(symbol)) return bad(symbol.name, object_.symbol_strings().size());
    auto name = object_.symbol_name(symbol);
    if (name.size() > formats::kKlpMaxSymbolName) return bad(name.size(), formats::kKlpMaxSymbolName);
    if (symbol.type() == elf::kSymbolTls) return refuse(RefusalCode::tls_symbol, name, index);
    if (symbol.section == elf::kSectionCommon || symbol.type() == elf::kSymbolCommon) {
        return refuse(RefusalCode::common_symbol, name, index);
    }
    if (symbol.section == elf::kSectionAbsolute) return {};
    if (symbol.section >= object_.section_count()) return bad(symbol.section, object_.section_count());
    if (symbol.section == elf::kSectionUndefined) return resolve_undefined(machine, index, name);
    if (sections_[symbol.section].area == Area::none) return {};

    u64 section_size = object_.section(symbol.section).size;
    auto end = checked_add<u64>(symbol.value, symbol.size);
    if (!end || *end > section_size) return bad(symbol.value, section_size);
    symbols_[index].kind = PlannedSymbol::Kind::local;
    symbols_[index].section = symbol.section;
    symbols_[index].offset = symbol.value;
    if (symbol.binding() == elf::kBindLocal) return {};
    return resolve_global(machine, index, name);
}

RefusalResult<void> Plan::resolve_undefined(const Machine& machine, u32 index, std::string_view name) {
    PlannedSymbol& planned = symbols_[index];
    if (name == kHandleSymbol) {
        planned.kind = PlannedSymbol::Kind::handle;
        return {};
    }
    if (name != kAtexitSymbol) return {};
    auto address = machine.find_global(kPatchAtexitSymbol);
    if (!address) return {};
    planned.kind = PlannedSymbol::Kind::image;
    planned.is_atexit = true;
    planned.address = address->value;
    return {};
}

// A global that the image has too. Weak: there is one home for it, the image's. Strong: the image's callers would go on
// with the old one, so it is a mistake, unless it is the very function that is replaced.
RefusalResult<void> Plan::resolve_global(const Machine& machine, u32 index, std::string_view name) {
    auto binding = object_.symbol(index).binding();
    bool is_weak = binding == elf::kBindWeak || binding == elf::kBindUnique;
    if (!is_weak && binding != elf::kBindGlobal)
        return refuse(RefusalCode::bad_symbol, name, index, binding, elf::kBindGlobal);
    PlannedSymbol& planned = symbols_[index];
    auto address = machine.find_global(name);
    if (!address || machine.is_init_text(*address)) return {};
    if (is_weak) {
        planned.kind = PlannedSymbol::Kind::image;
        planned.address = address->value;
        return {};
    }
    auto* func = find_new_function(planned.section, planned.offset);
    if (func != nullptr && func->old.entry == *address) return {};
    return refuse(RefusalCode::redefined_symbol, name, index);
}

RefusalResult<void> Plan::check_duplicates(Machine& machine) const {
    auto is_shared = [&](u32 index) {
        auto symbol = object_.symbol(index);
        bool is_defined = symbol.section != elf::kSectionUndefined && symbol.section < elf::kSectionReserved;
        return is_defined && symbol.binding() != elf::kBindLocal;
    };
    RecordArray<u32> shared;
    if (!shared.create(machine, object_.symbol_count())) return refuse(RefusalCode::no_memory);
    usize count = 0;
    for (u32 i = 1; i < object_.symbol_count(); ++i) {
        if (is_shared(i)) shared[count++] = i;
    }
    auto name = [&](u32 index) { return object_.symbol_name(object_.symbol(index)); };
    std::sort(shared.begin(), shared.begin() + count, [&](u32 left, u32 right) {
        auto l = name(left);
        auto r = name(right);
        return l.size() != r.size() ? l.size() < r.size() : l < r;
    });
    for (usize i = 1; i < count; ++i) {
        if (name(shared[i]) == name(shared[i - 1]))
            return refuse(RefusalCode::duplicate_symbol, name(shared[i]), shared[i]);
    }
    return {};
}

RefusalResult<void> Plan::resolve_references(const Machine& machine) {
    usize cursor = 0;
    while (auto reference = metadata_.next_reference(cursor)) {
        u64 address = reference->address.value;
        bool is_undefined = reference->symbol < object_.symbol_count() &&
                            object_.symbol(reference->symbol).section == elf::kSectionUndefined;
        if (!is_undefined) return refuse(RefusalCode::bad_reference, {}, address, reference->symbol);
        auto name = object_.symbol_name(object_.symbol(reference->symbol));
        PlannedSymbol& planned = symbols_[reference->symbol];
        if (name == kHandleSymbol) continue;  // the patch's own, not the image's
        if (planned.is_atexit) {              // registers the destructor of an object of the image
            planned.is_atexit = false;
        } else if (planned.kind != PlannedSymbol::Kind::unresolved) {
            return refuse(RefusalCode::repeated_reference, name, address, reference->symbol);
        }
        if (!machine.has_symbol(name, reference->address)) return refuse(RefusalCode::unknown_reference, name, address);
        if (machine.is_init_text(reference->address)) return refuse(RefusalCode::boot_only, name, address);
        planned.kind = PlannedSymbol::Kind::image;
        planned.address = address;
    }
    return {};
}

// ---- relocations ----------------------------------------------------------------------------------------------------

RefusalResult<void> Plan::check_relocation_table(u32 index) const {
    auto table = object_.section(index);
    auto name = object_.section_name(table);
    auto bad = [&](u64 found, u64 expected) {
        return refuse(RefusalCode::bad_relocation_table, name, index, found, expected);
    };
    if (table.info >= object_.section_count()) return bad(table.info, object_.section_count());
    if (sections_[table.info].area == Area::none) return {};
    if (table.type != elf::kSectionRela) return bad(table.type, elf::kSectionRela);
    if (object_.section(table.info).type == elf::kSectionZeros) return bad(table.info, 0);
    if (table.link != object_.symbol_section()) return bad(table.link, object_.symbol_section());
    if (table.entry_size != sizeof(elf::Rela)) return bad(table.entry_size, sizeof(elf::Rela));
    if (table.size % sizeof(elf::Rela) != 0) return bad(table.size, sizeof(elf::Rela));
    return {};
}

RefusalResult<void> Plan::check_relocations() {
    u64 count = 0;
    for (u32 i = 0; i < object_.section_count(); ++i) {
        auto table = object_.section(i);
        if (table.type != elf::kSectionRela && table.type != elf::kSectionRel) continue;
        GRAFT_CHECK(check_relocation_table(i));
        if (sections_[table.info].area != Area::none) count += table.size / sizeof(elf::Rela);
    }
    if (count > formats::kKlpMaxRelocations) {
        return refuse(RefusalCode::too_many_relocations, {}, 0, count, formats::kKlpMaxRelocations);
    }
    GRAFT_CHECK(for_each_relocation([&](u32, const elf::Section& target, const elf::Rela& rela) -> RefusalResult<void> {
        return check_relocation(target, rela);
    }));
    return place_destructors();
}

RefusalResult<void> Plan::check_relocation(const elf::Section& target, const elf::Rela& rela) {
    auto name = object_.section_name(target);
    auto width = relocation_width(rela.type());
    if (width == 0) return refuse(RefusalCode::unknown_relocation, name, rela.offset, rela.type());
    auto end = checked_add<u64>(rela.offset, width);
    if (!end || *end > target.size)
        return refuse(RefusalCode::relocation_outside, name, rela.offset, rela.offset, target.size);
    if (rela.symbol() >= object_.symbol_count()) {
        return refuse(RefusalCode::unresolved_symbol, name, rela.offset, rela.symbol(), object_.symbol_count());
    }
    const PlannedSymbol& planned = symbols_[rela.symbol()];
    if (planned.kind == PlannedSymbol::Kind::unresolved) {
        auto symbol = object_.symbol(rela.symbol());
        auto symbol_name = rela.symbol() == 0 ? std::string_view("no symbol") : object_.symbol_name(symbol);
        return refuse(RefusalCode::unresolved_symbol, name, rela.offset, rela.symbol(), 0, symbol_name);
    }
    if (planned.kind == PlannedSymbol::Kind::handle) has_destructors_ = true;
    if (planned.is_atexit) ++destructor_capacity_;
    return {};
}

// One place for each call of __cxa_atexit: straight-line constructors and guarded static locals pass theirs once.
RefusalResult<void> Plan::place_destructors() {
    if (!has_destructors_) return {};
    u64& data = sizes_[static_cast<usize>(Area::data)];
    destructors_offset_ = (data + alignof(DestructorEntry) * 2 - 1) & ~u64{alignof(DestructorEntry) * 2 - 1};
    data = destructors_offset_ + DestructorTable::size_for(destructor_capacity_);
    u64 total = sizes_[1] + sizes_[2] + sizes_[3];
    if (total > kMaxLoadedSize) return refuse(RefusalCode::loaded_too_large, {}, 0, total, kMaxLoadedSize);
    return {};
}

}  // namespace graft::patch
