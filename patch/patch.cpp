#include "patch/patch.h"

#include <algorithm>
#include <cstring>

namespace graft::patch {

namespace {

constexpr std::string_view PatchTexts::* kTexts[] = {
    &PatchTexts::name,  &PatchTexts::set,        &PatchTexts::version,   &PatchTexts::description,
    &PatchTexts::fixes, &PatchTexts::built_from, &PatchTexts::built_with};

template <typename T, typename Entry>
const T* find_entry(const RecordArray<T>& sorted, VirtAddr entry, Entry entry_of) {
    auto at = std::lower_bound(sorted.begin(), sorted.end(), entry,
                               [&](const T& item, VirtAddr wanted) { return entry_of(item) < wanted; });
    return at != sorted.end() && entry_of(*at) == entry ? at : nullptr;
}

}  // namespace

std::string_view name_of(Stage stage) {
    constexpr std::array<std::string_view, 6> kNames = {"loading",      "appearing", "enabled",
                                                        "disappearing", "dormant",   "lingering"};
    return kNames[static_cast<usize>(stage)];
}

const Func* Patch::find_func(VirtAddr entry) const {
    return find_entry(funcs, entry, [](const Func& func) { return func.old.entry; });
}

const State* Patch::find_state(u64 id) const {
    for (const State& state : states) {
        if (state.id == id) return &state;
    }
    return nullptr;
}

bool Patch::claims(VirtAddr entry) const {
    return find_func(entry) != nullptr ||
           find_entry(holds, entry, [](const Hold& hold) { return hold.function.entry; }) != nullptr;
}

bool Patch::set_texts(Machine& machine, const PatchTexts& from) {
    usize size = 0;
    for (auto text : kTexts) size += (from.*text).size();
    if (!text_storage.create(machine, size)) return false;
    char* out = text_storage.data();
    for (auto text : kTexts) {
        std::string_view source = from.*text;
        if (!source.empty()) std::memcpy(out, source.data(), source.size());
        texts.*text = {out, source.size()};
        out += source.size();
    }
    return true;
}

}  // namespace graft::patch
