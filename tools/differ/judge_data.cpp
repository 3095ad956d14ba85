// Data that the image has and that a diff wants otherwise, and data that a patch adds or leaves behind.

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "tools/differ/equality.h"
#include "tools/differ/judge_context.h"
#include "tools/differ/names.h"

namespace graft::differ {
namespace {

bool is_guard(const Item& item) {
    return item.name.starts_with("_ZGV");
}

class DataJudge {
public:
    explicit DataJudge(JudgeContext& context) : context_(context) {}

    void run() {
        for (u32 unit = 0; unit < context_.comparison.units.size(); ++unit) {
            const UnitPair& pair = context_.comparison.units[unit];
            if (pair.goes_on()) continue;
            for (u32 i = 1; i < pair.baseline.items().size(); ++i) judge_old(unit, i);
            for (u32 i = 1; i < pair.patched.items().size(); ++i) judge_new(unit, i);
        }
        warn_of_new_data();
    }

private:
    void judge_old(u32 unit, u32 index) {
        const UnitPair& pair = context_.comparison.units[unit];
        const Item& before = pair.baseline.item(index);
        if (!before.has_identity() || pair.placed[index].address == 0) return;
        if (pair.old_changes[index] == ItemChange::removed && before.writable && !is_guard(before))
            context_.warn("removed-data", context_.comparison.old_place({unit, index}),
                          fmt::format("'{}' was removed: the image keeps it, and what it holds is not given up",
                                      demangled(before.name)));
        u32 twin = pair.to_patched[index];
        if (pair.old_changes[index] != ItemChange::changed || twin == 0) return;
        const Item& after = pair.patched.item(twin);
        if (is_vtable(before.name))
            refuse_vtable(unit, before, after, twin);
        else
            refuse_data(unit, before, after, twin);
    }

    // The same object may have been compared in many units (inline variables, constants of headers).
    bool is_first(const std::string& name, const SourcePlace& place) {
        return reported_.emplace(name, place.text()).second;
    }

    void refuse_data(u32 unit, const Item& before, const Item& after, u32 twin) {
        SourcePlace place = context_.comparison.new_place({unit, twin});
        if (!is_first(before.name, place)) return;
        std::string reason;
        if (before.size != after.size)
            reason = fmt::format("its size was {} bytes and is {}", before.size, after.size);
        else if (before.zero != after.zero)
            reason = before.zero ? "it began as zero and has another initial value now"
                                 : "it had an initial value and begins as zero now";
        else
            reason = "its initial value changed";
        if (before.writable) {
            context_.refuse("changed-data", place, demangled(before.name),
                            reason + ", but the running image's object keeps what it holds",
                            "set the new value in a state's callback, or put it into an object with a new name");
        } else {
            context_.refuse("changed-data", place, demangled(before.name),
                            reason + ", but the running image's constant can't be written",
                            "give the changed constant a new name, and let the functions that need it use that");
        }
    }

    // What stands at a place of a table, in words.
    static std::string entry_at(const UnitObject& object, const Item& table, u64 at) {
        for (const Reference& reference : table.references)
            if (reference.at == at) return target_text(object, reference);
        return "an offset";
    }

    void refuse_vtable(u32 unit, const Item& before, const Item& after, u32 twin) {
        const UnitPair& pair = context_.comparison.units[unit];
        std::string name = demangled(before.name);
        SourcePlace place = class_place(unit, before, {.file = pair.unit->source, .line = 0});
        if (!is_first(before.name, {})) return;
        constexpr const char* kKeepShape =
            "don't add, remove or reorder virtual functions; call what is new by other means";
        if (before.size != after.size) {
            context_.refuse("changed-vtable", place, name,
                            fmt::format("it had {} entries and has {}, but objects that exist keep the old one",
                                        before.size / 8, after.size / 8),
                            kKeepShape);
            return;
        }
        u64 at = pair.differences[twin].new_at;
        bool of_tables = before.name.starts_with("_ZTT");
        context_.refuse(
            "changed-vtable", place, name,
            fmt::format("its entry {} was {} and is {}, but objects that exist keep the old one", at / 8,
                        entry_at(pair.baseline, before, at), entry_at(pair.patched, after, at)),
            of_tables
                ? kKeepShape
                : "change the body of the function that the entry has now: it is replaced wherever it is called from");
    }

    // "vtable for X" has no line of its own: that of the class.
    SourcePlace class_place(u32 unit, const Item& table, SourcePlace otherwise) const {
        std::string name = class_of_vtable(table.name);
        if (name.empty()) return otherwise;
        for (const TypeNode& type : context_.after(unit).types())
            if (type.kind == TypeKind::aggregate && type.name == name && type.place.known()) return type.place;
        return otherwise;
    }

    void judge_new(u32 unit, u32 index) {
        const UnitPair& pair = context_.comparison.units[unit];
        const Item& item = pair.patched.item(index);
        if (pair.new_changes[index] != ItemChange::added) return;
        if (item.kind == ItemKind::data && item.writable && !is_guard(item) && !is_vtable(item.name))
            new_data_.emplace(item.name, context_.comparison.new_place({unit, index}));
        // Only this one is in an object once it is constructed.
        bool stays_in_objects = item.name.starts_with("_ZTV");
        if (stays_in_objects && item.has_identity() && !context_.comparison.image->defines_global(item.name))
            context_.warn(
                "address-outlives", class_place(unit, item, context_.comparison.new_place({unit, index})),
                fmt::format("{} is new: objects of the class that outlive the patch keep its memory from being freed",
                            demangled(item.name)));
    }

    void warn_of_new_data() {
        for (const auto& [name, place] : new_data_)
            context_.warn("new-data", place,
                          fmt::format("'{}' is new and starts with its initial value, whatever the image has been "
                                      "doing: if it counts or lists what exists, set it in a state's callback",
                                      demangled(name)));
    }

    JudgeContext& context_;
    std::set<std::pair<std::string, std::string>> reported_;
    std::map<std::string, SourcePlace> new_data_;
};

}  // namespace

void judge_data(JudgeContext& context) {
    DataJudge(context).run();
}

}  // namespace graft::differ
