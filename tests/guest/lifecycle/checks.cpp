// Everything that is compared with the model, and with the state at the beginning.
#include "base/text.h"
#include "kernel/task_list.h"
#include "tests/guest/lifecycle/driver.h"

namespace graft::lifecycle {

namespace {

struct Seen {
    patch::Label<32> name, set, dormant;
    bool enabled = false;
    bool in_transition = false;
    bool on_probation = false;
};

class Collect final : public patch::PatchVisitor {
public:
    void patch(const patch::PatchView& view) override {
        if (count < seen.size()) {
            seen[count] = {view.name, view.set, view.dormant, view.enabled, view.in_transition, view.on_probation};
        }
        ++count;
    }

    const Seen* find(std::string_view name) const {
        for (usize i = 0; i < count && i < seen.size(); ++i) {
            if (seen[i].name.view() == name) return &seen[i];
        }
        return nullptr;
    }

    std::array<Seen, 8> seen{};
    usize count = 0;
};

constexpr std::string_view kSetNames[] = {"pair", "solo", "tally"};

void check_sets(Lifecycle& life) {
    Collect collected;
    life.registry.visit_patches(collected);
    usize expected = 0;
    for (usize i = 0; i < kSetCount; ++i) {
        const SetState& set = life.model[static_cast<Set>(i)];
        if (!set.top.is_there()) continue;
        ++expected;
        const Seen* seen = collected.find(set.top.name.view());
        if (seen == nullptr) {
            complain(life, "a patch isn't registered", set.top.name.view());
            continue;
        }
        require(life, seen->set.view() == kSetNames[i], "a patch is of another set", seen->set.view());
        require(life, seen->enabled && !seen->in_transition, "a patch isn't in force", set.top.name.view());
        require(life, seen->on_probation == set.on_probation, "probation", set.top.name.view());
        require(life, seen->dormant.view() == set.dormant.name.view(), "another one is dormant", seen->dormant.view());
    }
    require(life, collected.count == expected, "there are other patches");
}

void check_calls(Lifecycle& life, Set set, Place place) {
    File file = life.model[set].top.file;
    allow(place, one(file));
    Files seen = observe(place);
    if ((seen & one(file)) != 0) return;
    Text<80> text;
    text.append(kSetNames[static_cast<usize>(set)], " ", static_cast<u64>(file), " seen ", seen);
    complain(life, "a call sees another patch", text.view());
}

void check_callbacks(Lifecycle& life) {
    for (usize file = 0; file < kFileCount; ++file) {
        for (usize i = 0; i < kCallbackCount; ++i) {
            u64 found = g_callback_runs[file][i].load(std::memory_order_acquire);
            u64 expected = life.model.callbacks()[file][i];
            if (found == expected) continue;
            Text<120> text;
            text.append("file ", file, " callback ", i, " ran ", found, " times, expected ", expected);
            complain(life, "callbacks", text.view());
        }
    }
}

void check_notes(Lifecycle& life) {
    u64 note = life.model.note();
    u64 alive = g_notes_alive.load(std::memory_order_acquire);
    require(life, alive == (note != 0 ? kObjectCount : 0), "the number of shadow variables");
    for (Object& object : g_objects) {
        Note* found = NoteOf::get(&object);
        require(life, (found != nullptr ? found->value : 0) == note, "a shadow variable's value");
    }
}

class CountLingering final : public patch::LingeringVisitor {
public:
    void lingering(std::string_view, std::span<const patch::Reference>, u64) override { ++count; }
    u64 count = 0;
};

// A stale word on some stack may hold a patch's memory for a while; the words of living frames change.
void wait_until_freed(Lifecycle& life) {
    bool freed = eventually([&] {
        CountLingering lingering;
        life.registry.visit_lingering(lingering);
        if (lingering.count == 0) return true;
        life.registry.retry_lingering();
        return false;
    });
    if (!freed) hang(life, "the freeing of what was unloaded");
}

// What a task frees reaches the pools when it is next scheduled: equal at some moment is equal.
void compare_footprint(Lifecycle& life) {
    hold_births();
    if (!eventually([&] { return kernel::task_count() == life.lasting_tasks; })) hang(life, "the end of tasks");
    if (!life.base) {
        life.base = tests::footprint();
        report("at base", *life.base);
    } else if (!eventually([&] { return tests::footprint() == *life.base; })) {
        ++life.leaked;
        report("leaked", tests::footprint());
        life.hung = true;
    }
    allow_births();
}

}  // namespace

void check_all(Lifecycle& life) {
    if (life.hung) return;
    check_calls(life, Set::pair, Place::pair);
    check_calls(life, Set::solo, Place::solo);
    check_sets(life);
    check_callbacks(life);
    check_notes(life);
    require(life, life.registry.taint().forced == life.forced, "the number of forced transitions");
}

void check_at_base(Lifecycle& life) {
    for (usize i = 0; i < kSetCount && !life.hung; ++i) {
        auto set = static_cast<Set>(i);
        if (!is_in_force(life, set)) continue;
        Change change = unload_of(life, set);
        if (begin(life, change)) finish(life, change, true);
    }
    mark_progress();
    if (!life.hung && !eventually(all_went_on)) hang(life, "another round of every task");
    if (!life.hung) wait_until_freed(life);
    if (!life.hung) compare_footprint(life);
}

}  // namespace graft::lifecycle
