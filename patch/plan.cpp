#include "patch/plan.h"

#include <algorithm>
#include <bit>

namespace graft::patch {

Refusal refusal_of(const formats::KlpError& error) {
    using Reason = formats::KlpError::Reason;
    auto code = RefusalCode::bad_metadata;
    switch (error.reason) {
        case Reason::too_short:
        case Reason::bad_magic:
            code = RefusalCode::not_a_patch;
            break;
        case Reason::too_long:
            code = RefusalCode::file_too_large;
            break;
        case Reason::bad_envelope:
        case Reason::bad_size:
            code = RefusalCode::bad_envelope;
            break;
        case Reason::bad_metadata:
        case Reason::truncated_record:
            code = RefusalCode::bad_metadata;
            break;
        case Reason::bad_format:
            code = RefusalCode::unknown_format;
            break;
        case Reason::unknown_record:
            code = RefusalCode::unknown_record;
            break;
        case Reason::bad_record:
            code = RefusalCode::bad_record;
            break;
        case Reason::bad_version:
            code = RefusalCode::bad_version;
            break;
        case Reason::bad_text:
            code = RefusalCode::bad_text;
            break;
        case Reason::repeated_record:
            code = RefusalCode::repeated_record;
            break;
        case Reason::missing_record:
            code = RefusalCode::no_name;
            break;
        case Reason::too_many_functions:
            code = RefusalCode::too_many_functions;
            break;
        case Reason::too_many_references:
            code = RefusalCode::too_many_references;
            break;
        case Reason::too_many_states:
            code = RefusalCode::too_many_states;
            break;
        case Reason::unknown_flags:
            code = RefusalCode::unknown_flags;
            break;
    }
    return Refusal{code, error.where, error.found, error.expected, {}, {}};
}

RefusalResult<Plan> Plan::parse(Machine& machine, const formats::KlpFile& file, const PlanOptions& options) {
    Plan plan;
    plan.file_ = file;
    GRAFT_CHECK(plan.find_metadata(machine.build_id()));
    GRAFT_CHECK(plan.object_.check_overlaps(machine));
    GRAFT_CHECK(plan.place_sections(machine));
    GRAFT_CHECK(plan.object_.use_symbols());
    GRAFT_CHECK(plan.fit_functions(machine, options));
    GRAFT_CHECK(plan.fit_states(machine));
    if (!plan.symbols_.create(machine, plan.object_.symbol_count())) return refuse(RefusalCode::no_memory);
    GRAFT_CHECK(plan.resolve_symbols(machine));
    GRAFT_CHECK(plan.check_duplicates(machine));
    GRAFT_CHECK(plan.resolve_references(machine));
    GRAFT_CHECK(plan.check_relocations());
    return plan;
}

RefusalResult<void> Plan::find_metadata(const BuildId& build_id) {
    object_ = GRAFT_TRY(Object::open(file_.object));
    u32 found = 0;
    for (u32 i = 0; i < object_.section_count(); ++i) {
        auto section = object_.section(i);
        if (object_.section_name(section) != formats::kKlpSection) continue;
        if ((section.flags & elf::kFlagAlloc) != 0)
            return refuse(RefusalCode::bad_section_flags, formats::kKlpSection, i, section.flags);
        metadata_section_ = object_.contents(section);
        ++found;
    }
    if (found != 1) return refuse(RefusalCode::no_metadata, {}, 0, found, 1);

    auto header = formats::read_klp_header(metadata_section_);
    if (!header) return std::unexpected(refusal_of(header.error()));
    if (header->build_id != build_id) {
        auto first_bytes = [](const BuildId& id) {
            u64 value;
            std::memcpy(&value, id.data(), sizeof(value));
            return __builtin_bswap64(value);
        };
        return refuse(RefusalCode::wrong_build, {}, 0, first_bytes(header->build_id), first_bytes(build_id));
    }
    auto metadata = formats::KlpMetadata::open(metadata_section_);
    if (!metadata) return std::unexpected(refusal_of(metadata.error()));
    metadata_ = *metadata;
    return {};
}

const PlannedFunc* Plan::find_new_function(u32 section, u64 offset) const {
    auto is_before = [&](u32 index, u64) {
        const PlannedFunc& func = funcs_[index];
        return func.section != section ? func.section < section : func.offset < offset;
    };
    auto at = std::lower_bound(by_new_function_.begin(), by_new_function_.end(), offset, is_before);
    if (at == by_new_function_.end()) return nullptr;
    const PlannedFunc& func = funcs_[*at];
    return func.section == section && func.offset == offset ? &func : nullptr;
}

}  // namespace graft::patch
