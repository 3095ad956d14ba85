// Plan: what loading a patch file would do, worked out from its bytes and the image alone. parse() checks everything
// that doesn't depend on where the patch will lie; commit is LoadedObject's business. Making a plan changes nothing but
// the core's records, which go with it.
//
// A plan refers to the file's bytes; they must outlive it. Locking: the registry's lock. Context: task.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "base/types.h"
#include "formats/klp.h"
#include "patch/machine.h"
#include "patch/memory.h"
#include "patch/object.h"
#include "patch/refusal.h"

namespace graft::patch {

inline constexpr u64 kMaxLoadedSize = 16 * 1024 * 1024;  // text, read-only and writable data together

enum class Area : u8 { none, text, rodata, data };
inline constexpr usize kAreaCount = 4;

struct PlannedSection {
    Area area = Area::none;
    u64 offset = 0;  // from the area's start
};

struct PlannedSymbol {
    enum class Kind : u8 {
        unresolved,  // has no address: undefined without a reference, absolute, or in a section that isn't loaded
        image,
        local,   // lies in the patch
        handle,  // the patch's destructor table
    };
    Kind kind = Kind::unresolved;
    bool is_atexit = false;
    u32 section = 0;  // where the patch defines it, also when the image's is used instead; else 0
    u64 offset = 0;   // in that section
    u64 address = 0;  // kind image
};

struct PlannedFunc {
    FunctionInfo old;
    u32 section = 0;  // where the new function lies
    u64 offset = 0;
    u64 size = 0;
    u32 symbol = 0;
};

struct PlannedCallback {
    u32 section = 0;  // 0: there is none
    u64 offset = 0;
};

struct PlannedState {
    formats::KlpState declared;
    std::array<PlannedCallback, formats::kKlpCallbackCount> callback{};  // by formats::KlpCallback
};

struct PlanOptions {
    bool allow_endless = false;
};

class Plan {
public:
    // `file`: what check_origin() has let through. In the fixed order: format version, build-id, structure, fit.
    static RefusalResult<Plan> parse(Machine& machine, const formats::KlpFile& file, const PlanOptions& options);

    const Object& object() const { return object_; }
    const formats::KlpMetadata& metadata() const { return metadata_; }
    // The replace set of the patch when it is loaded as `name`: its own name, unless the file says otherwise.
    std::string_view set_for(std::string_view name) const {
        return metadata_.set() == metadata_.name() ? name : metadata_.set();
    }
    std::span<const PlannedFunc> funcs() const { return funcs_.span(); }     // sorted by old entry
    std::span<const FunctionInfo> holds() const { return holds_.span(); }    // sorted by entry
    std::span<const PlannedState> states() const { return states_.span(); }  // in the order of the metadata
    const PlannedSection& section(u32 index) const { return sections_[index]; }
    const PlannedSymbol& symbol(u32 index) const { return symbols_[index]; }
    u64 size(Area area) const { return sizes_[static_cast<usize>(area)]; }
    // 0: there is none, and no code either.
    u32 frames_section() const { return frames_section_; }
    bool is_endless() const { return endless_; }
    // The patch refers to its handle: a DestructorTable lies at destructors_offset() of the data area.
    bool has_destructors() const { return has_destructors_; }
    u32 destructor_capacity() const { return destructor_capacity_; }
    u64 destructors_offset() const { return destructors_offset_; }

    // The func whose new function begins exactly there.
    const PlannedFunc* find_new_function(u32 section, u64 offset) const;

    // Calls visit(section index, elf::Section target, elf::Rela) for each relocation of a loaded section until one
    // refuses.
    template <typename Visit>
    RefusalResult<void> for_each_relocation(Visit visit) const;

private:
    RefusalResult<void> find_metadata(const BuildId& build_id);
    // plan_sections.cpp
    RefusalResult<void> place_sections(Machine& machine);
    RefusalResult<void> place(u32 index);
    // plan_symbols.cpp
    RefusalResult<void> resolve_symbols(const Machine& machine);
    RefusalResult<void> resolve(const Machine& machine, u32 index);
    RefusalResult<void> resolve_undefined(const Machine& machine, u32 index, std::string_view name);
    RefusalResult<void> resolve_global(const Machine& machine, u32 index, std::string_view name);
    RefusalResult<void> check_duplicates(Machine& machine) const;
    RefusalResult<void> resolve_references(const Machine& machine);
    RefusalResult<void> check_relocations();
    RefusalResult<void> check_relocation(const elf::Section& target, const elf::Rela& rela);
    RefusalResult<void> check_relocation_table(u32 index) const;
    RefusalResult<void> place_destructors();
    // plan_fit.cpp
    RefusalResult<void> fit_functions(Machine& machine, const PlanOptions& options);
    RefusalResult<void> fit_new_function(const formats::KlpFunction& function, PlannedFunc& func) const;
    bool is_function(const elf::Symbol& symbol) const;
    RefusalResult<void> check_repeated() const;
    // plan_states.cpp
    RefusalResult<void> fit_states(Machine& machine);
    RefusalResult<void> fit_callbacks(PlannedState& state) const;

    formats::KlpFile file_;
    Object object_;
    std::span<const std::byte> metadata_section_;
    formats::KlpMetadata metadata_;
    RecordArray<PlannedSection> sections_;
    RecordArray<PlannedSymbol> symbols_;
    RecordArray<PlannedFunc> funcs_;
    RecordArray<FunctionInfo> holds_;
    RecordArray<PlannedState> states_;
    RecordArray<u32> by_new_function_;  // indices of funcs_, sorted by place of the new function
    std::array<u64, kAreaCount> sizes_{};
    u32 frames_section_ = 0;
    bool endless_ = false;
    bool has_destructors_ = false;
    u32 destructor_capacity_ = 0;
    u64 destructors_offset_ = 0;
};

// Where in the file's terms a metadata error lies, as a refusal.
Refusal refusal_of(const formats::KlpError& error);

template <typename Visit>
RefusalResult<void> Plan::for_each_relocation(Visit visit) const {
    for (u32 i = 0; i < object_.section_count(); ++i) {
        auto table = object_.section(i);
        if (table.type != elf::kSectionRela || table.info >= object_.section_count()) continue;
        if (sections_[table.info].area == Area::none) continue;
        auto target = object_.section(table.info);
        auto bytes = object_.contents(table);
        for (usize at = 0; at + sizeof(elf::Rela) <= bytes.size(); at += sizeof(elf::Rela)) {
            elf::Rela rela;
            std::memcpy(&rela, bytes.data() + at, sizeof(rela));
            GRAFT_CHECK(visit(table.info, target, rela));
        }
    }
    return {};
}

}  // namespace graft::patch
