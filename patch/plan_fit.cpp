// Do the funcs and holds of the patch fit the running image?
#include <algorithm>

#include "patch/plan.h"

namespace graft::patch {

namespace {

constexpr usize kChunk = 256;  // bytes of the image compared at a time; lies on the stack

RefusalResult<void> check_bytes(const Machine& machine, std::string_view name, const formats::KlpRange& range) {
    std::array<std::byte, kChunk> image;
    for (usize done = 0; done < range.bytes.size(); done += kChunk) {
        usize count = std::min(kChunk, range.bytes.size() - done);
        VirtAddr at = range.begin + done;
        if (!machine.read_image(at, std::span(image).first(count))) {
            return refuse(RefusalCode::wrong_bytes, name, at.value);
        }
        auto expected = range.bytes.subspan(done, count);
        for (usize i = 0; i < count; ++i) {
            if (image[i] == expected[i]) continue;
            return refuse(RefusalCode::wrong_bytes, name, at.value + i, static_cast<u64>(image[i]),
                          static_cast<u64>(expected[i]));
        }
    }
    return {};
}

// The parts must be exactly the image's, or some of the old code would not count as changing.
RefusalResult<void> check_parts(const Machine& machine, const formats::KlpFunction& function,
                                const FunctionInfo& info) {
    Reader reader(function.encoded_ranges);
    if (function.range_count != info.range_count) {
        return refuse(RefusalCode::wrong_ranges, function.name, function.entry.value, function.range_count,
                      info.range_count);
    }
    for (AddressRange part : info.parts()) {
        auto range = formats::KlpFunction::next_range(reader);
        if (range.begin != part.begin) {
            return refuse(RefusalCode::wrong_ranges, function.name, function.entry.value, range.begin.value,
                          part.begin.value);
        }
        if (range.bytes.size() != part.size()) {
            return refuse(RefusalCode::wrong_ranges, function.name, range.begin.value, range.bytes.size(), part.size());
        }
        GRAFT_CHECK(check_bytes(machine, function.name, range));
    }
    return {};
}

RefusalResult<FunctionInfo> fit_old_function(const Machine& machine, const formats::KlpFunction& function) {
    u64 entry = function.entry.value;
    auto info = machine.function_at(function.entry);
    if (!info) return refuse(RefusalCode::not_an_entry, function.name, entry);
    bool is_canonical = info->name == function.name;
    if (!is_canonical && !machine.has_symbol(function.name, function.entry)) {
        return refuse(RefusalCode::wrong_function, function.name, entry, 0, 0, info->name);
    }
    if (is_canonical && info->position != function.position) {
        return refuse(RefusalCode::wrong_position, function.name, entry, function.position, info->position);
    }
    if (machine.is_init_text(function.entry)) return refuse(RefusalCode::boot_only, function.name, entry);
    if (function.tag == formats::KlpTag::func) {
        if (info->patchability == Patchability::no_call_site)
            return refuse(RefusalCode::no_call_site, function.name, entry);
        if (info->patchability == Patchability::no_patch)
            return refuse(RefusalCode::on_no_patch_list, function.name, entry);
    }
    GRAFT_CHECK(check_parts(machine, function, *info));
    return *info;
}

}  // namespace

RefusalResult<void> Plan::fit_functions(Machine& machine, const PlanOptions& options) {
    bool created = funcs_.create(machine, metadata_.func_count()) && holds_.create(machine, metadata_.hold_count()) &&
                   by_new_function_.create(machine, metadata_.func_count());
    if (!created) return refuse(RefusalCode::no_memory, metadata_.name());

    endless_ = metadata_.is_endless();
    usize cursor = 0;
    usize func_count = 0;
    usize hold_count = 0;
    while (auto function = metadata_.next_function(cursor)) {
        auto info = GRAFT_TRY(fit_old_function(machine, *function));
        if (!info.has_return) {
            endless_ = true;
            if (!options.allow_endless) return refuse(RefusalCode::endless, function->name, function->entry.value);
        }
        if (function->tag == formats::KlpTag::hold) {
            holds_[hold_count++] = info;
            continue;
        }
        funcs_[func_count].old = info;
        GRAFT_CHECK(fit_new_function(*function, funcs_[func_count]));
        ++func_count;
    }
    if (endless_ && !options.allow_endless) return refuse(RefusalCode::endless, metadata_.name());

    std::sort(funcs_.begin(), funcs_.end(),
              [](const PlannedFunc& left, const PlannedFunc& right) { return left.old.entry < right.old.entry; });
    std::sort(holds_.begin(), holds_.end(),
              [](const FunctionInfo& left, const FunctionInfo& right) { return left.entry < right.entry; });
    for (u32 i = 0; i < funcs_.size(); ++i) by_new_function_[i] = i;
    std::sort(by_new_function_.begin(), by_new_function_.end(), [&](u32 left, u32 right) {
        const PlannedFunc& l = funcs_[left];
        const PlannedFunc& r = funcs_[right];
        return l.section != r.section ? l.section < r.section : l.offset < r.offset;
    });
    return check_repeated();
}

// Has the patch a function there, whole in a section of its text?
bool Plan::is_function(const elf::Symbol& symbol) const {
    if (symbol.type() != elf::kSymbolFunction || symbol.size == 0) return false;
    if (symbol.section == elf::kSectionUndefined || symbol.section >= object_.section_count()) return false;
    if (sections_[symbol.section].area != Area::text) return false;
    auto end = checked_add<u64>(symbol.value, symbol.size);
    return end && *end <= object_.section(symbol.section).size;
}

RefusalResult<void> Plan::fit_new_function(const formats::KlpFunction& function, PlannedFunc& func) const {
    auto bad = [&] {
        return refuse(RefusalCode::bad_new_function, function.name, function.entry.value, function.symbol);
    };
    if (function.symbol == 0 || function.symbol >= object_.symbol_count()) return bad();
    auto symbol = object_.symbol(function.symbol);
    if (!is_function(symbol)) return bad();
    func.symbol = function.symbol;
    func.section = symbol.section;
    func.offset = symbol.value;
    func.size = symbol.size;
    return {};
}

RefusalResult<void> Plan::check_repeated() const {
    auto repeated = [](const FunctionInfo& function) {
        return refuse(RefusalCode::repeated_function, function.name, function.entry.value);
    };
    for (usize i = 1; i < funcs_.size(); ++i) {
        if (funcs_[i].old.entry == funcs_[i - 1].old.entry) return repeated(funcs_[i].old);
        const PlannedFunc& one = funcs_[by_new_function_[i - 1]];
        const PlannedFunc& next = funcs_[by_new_function_[i]];
        if (one.section == next.section && one.offset == next.offset) {
            return refuse(RefusalCode::repeated_new_function, next.old.name, next.old.entry.value, next.symbol, 0,
                          one.old.name);
        }
    }
    for (usize i = 1; i < holds_.size(); ++i) {
        if (holds_[i].entry == holds_[i - 1].entry) return repeated(holds_[i]);
    }
    usize func = 0;
    for (const FunctionInfo& hold : holds_) {
        while (func < funcs_.size() && funcs_[func].old.entry < hold.entry) ++func;
        if (func < funcs_.size() && funcs_[func].old.entry == hold.entry) return repeated(hold);
    }
    return {};
}

}  // namespace graft::patch
