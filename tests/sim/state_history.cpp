#include "tests/sim/state_history.h"

#include <algorithm>
#include <vector>

#include "patch/registry.h"
#include "tests/sim/patch_builder.h"
#include "tests/sim/random.h"
#include "tests/sim/still_machine.h"

namespace graft::sim {

namespace {

using formats::KlpCallback;
using patch::RefusalCode;
using patch::RefusalResult;

constexpr u64 kSecond = 1'000'000'000;
constexpr u64 kIds = 6;  // 1 … 6; both sets may want the third and the fourth
constexpr usize kOperations = 120;

struct DeclaredState {
    u64 id;
    u32 version;
    bool irreversible;
};

struct DeclaredPatch {
    std::string name;
    std::string set;
    usize number = 0;  // a later one has a higher one
    std::vector<DeclaredState> states;

    const DeclaredState* find(u64 id) const {
        for (auto& state : states)
            if (state.id == id) return &state;
        return nullptr;
    }
};

struct ModelState {
    enum class Stage : u8 { absent, prepared, present, leaving };
    Stage stage = Stage::absent;
    std::string owner;
    u32 version = 0;
    bool irreversible = false;
};

class StateHistory {
public:
    StateHistory(SimImage& image, u64 seed)
        : image_(image), machine_(image), random_(seed), registry_(patch::Registry::create(machine_)) {
        machine_.hold_callbacks = true;
    }

    StateHistoryResult run() {
        for (usize i = 0; i < kOperations && good(); ++i) {
            operate();
            observe();
        }
        finish();
        return std::move(result_);
    }

private:
    using Stage = ModelState::Stage;

    bool good() const { return result_.violation.empty(); }
    void violate(const std::string& what) {
        if (good()) result_.violation = what;
    }
    void count(const RefusalResult<void>& result) {
        if (!result) ++result_.refusals[std::string(name_of(result.error().code))];
    }
    bool runs_callback() { return machine_.callback_runs(); }

    // ---- what is done

    void operate() {
        ++result_.events;
        switch (random_.below(20)) {
            case 0:
            case 1:
            case 2:
                return load();
            case 3:
                return count(registry_->unregister(some_patch()));
            case 4:
                return count(registry_->reverse(some_patch()));
            case 5:
            case 6:
                return roll_back();
            case 7:
                return count(registry_->commit(some_patch()));
            case 8:
                return count(registry_->force(some_patch()));
            case 9:
                (void)registry_->withdraw(some_patch(), "simulated");
                return;
            case 10:
                return let_pass(random_.below(12) * kSecond);
            case 11:
                machine_.unmoved = {1};
                return;
            case 12:
            case 13:
                machine_.unmoved.clear();
                return complete();
            case 14:
                return attach();
            default:
                return end_callback(random_.percent(12), random_.percent(4));
        }
    }

    void load() {
        DeclaredPatch patch = invent();
        PatchBuilder builder(image_, patch.name);
        builder.set = patch.set;
        builder.add_function("helper");
        for (auto& declared : patch.states) {
            formats::KlpState& state = builder.add_state(declared.id, declared.version);
            state.flags = declared.irreversible ? formats::kKlpStateIrreversible : 0;
            for (auto which : {KlpCallback::pre_patch, KlpCallback::post_patch, KlpCallback::pre_unpatch,
                               KlpCallback::post_unpatch, KlpCallback::destroy})
                builder.add_callback(state, which);
        }
        if (random_.percent(70)) builder.replace(patch.set == "a" ? "f0" : "f1");
        patch::LoadOptions options;
        if (random_.percent(50)) options.probation_ns = (1 + random_.below(20)) * kSecond;
        bool had_callback = runs_callback();
        patches_.push_back(patch);
        auto loaded = registry_->load(builder.build(), patch.name, options);
        count(loaded);
        if (had_callback && (loaded || loaded.error().code != RefusalCode::callback_running))
            violate("a load while a callback runs isn't refused for that");
    }

    DeclaredPatch invent() {
        DeclaredPatch patch;
        patch.number = patches_.size();
        patch.name = "p" + std::to_string(patch.number);
        patch.set = random_.percent(50) ? "a" : "b";
        u64 first = patch.set == "a" ? 1 : 3;
        for (u64 id = first; id < first + 4; ++id) {
            if (!random_.percent(45)) continue;
            patch.states.push_back({id, static_cast<u32>(1 + random_.below(3)), random_.percent(1)});
        }
        return patch;
    }

    void roll_back() {
        auto result = registry_->rollback(some_patch());
        count(result);
        if (result) ++result_.rollbacks;
    }

    void attach() {
        u64 id = 1 + random_.below(kIds);
        if (state(id).stage != Stage::absent) machine_.shadow_variables[id] += 1;
    }

    void let_pass(u64 ns) {
        machine_.advance(ns);
        if (machine_.alarm_ns > machine_.now_ns()) return;
        machine_.alarm_ns = patch::kNoAlarm;
        registry_->tick();
        auto callback = registry_->callback();
        if (callback && callback->running_ns > 5 * kSecond + kSecond && !callback->overdue)
            violate("a callback past its time isn't overdue");
        if (callback && callback->overdue) ++result_.overdue;
    }

    void complete() {
        if (machine_.tasks_to_move() == 0 || runs_callback()) (void)registry_->complete();
    }

    void end_callback(bool refuses, bool faults) {
        if (!runs_callback()) return complete();
        if (ending_.which == "pre_patch" && (refuses || faults)) {
            ++result_.refused_by_pre_patch;
            machine_.end_callback({.value = -1, .faulted = faults});
        } else {
            if (ending_.which == "pre_patch") state(ending_.id) = made_by(*find(ending_.patch), ending_.id);
            machine_.end_callback({.faulted = faults && ending_.which != "shadow"});
        }
        (void)registry_->complete();
    }

    struct Registered final : patch::PatchVisitor {
        void patch(const patch::PatchView& view) override {
            enabled.emplace_back(view.name);
            if (!view.dormant.empty()) dormant.emplace_back(view.dormant);
        }
        std::vector<std::string> enabled, dormant;
    };

    // Mostly one that is registered.
    std::string some_patch() {
        Registered registered;
        registry_->visit_patches(registered);
        if (!registered.enabled.empty() && random_.percent(85))
            return registered.enabled[random_.below(registered.enabled.size())];
        return patches_.empty() ? "nobody" : recent(random_.below(4)).name;
    }
    const DeclaredPatch& recent(usize back) {
        return patches_[patches_.size() - 1 - std::min(back, patches_.size() - 1)];
    }

    // ---- what must hold

    struct Called {
        std::string patch, which;
        u64 id = 0;
    };

    // "p3 pre_unpatch_7" or "shadow 7"
    static Called parse(const std::string& text) {
        auto space = text.find(' ');
        Called called{text.substr(0, space), {}, 0};
        std::string rest = text.substr(space + 1);
        if (called.patch == "shadow") return {{}, "shadow", std::stoull(rest)};
        auto last = rest.rfind('_');
        called.which = rest.substr(0, last);
        called.id = std::stoull(rest.substr(last + 1));
        return called;
    }

    ModelState& state(u64 id) { return states_[id]; }
    const DeclaredPatch* find(const std::string& name) const {
        for (auto& patch : patches_)
            if (patch.name == name) return &patch;
        return nullptr;
    }
    static ModelState made_by(const DeclaredPatch& patch, u64 id) {
        const DeclaredState& declared = *patch.find(id);
        return {Stage::prepared, patch.name, declared.version, declared.irreversible};
    }

    void observe() {
        for (; seen_ < machine_.callbacks.size(); ++seen_) called(parse(machine_.callbacks[seen_]));
        if (!machine_.violations.empty()) violate(machine_.violations.front());
        if (good() && registry_->is_idle()) check_idle();
    }

    void called(const Called& call) {
        ++result_.callbacks;
        ending_ = call;
        ModelState& model = state(call.id);
        auto wrong = [&](const std::string& why) {
            violate(call.patch + " " + call.which + " of state " + std::to_string(call.id) + ": " + why);
        };
        if (call.which == "shadow") {
            ++result_.ended_variables;
            if (model.stage != Stage::absent) wrong("variables end while " + model.owner + " holds the state");
            return;
        }
        if (call.which == "pre_patch") {
            if (model.stage != Stage::absent) wrong(model.owner + " holds it");
            return;
        }
        if (model.stage == Stage::present && model.owner != call.patch) take_over(*find(call.patch), call.id);
        if (model.owner != call.patch) return wrong("not its own");
        bool is_half_way = model.stage == Stage::prepared || model.stage == Stage::leaving;
        if (call.which == "post_patch") {
            if (!is_half_way) wrong("nothing came before it");
            model.stage = Stage::present;
        } else if (call.which == "pre_unpatch") {
            if (model.stage != Stage::present) wrong("it isn't there");
            if (model.irreversible) wrong("it is irreversible");
            model.stage = Stage::leaving;
        } else {
            if (!is_half_way) wrong("nothing came before it");
            model = {};
        }
    }

    // Without a call: from a patch of the set that isn't in force any more.
    void take_over(const DeclaredPatch& patch, u64 id) {
        ModelState& model = state(id);
        const DeclaredPatch& former = *find(model.owner);
        const DeclaredState* declared = patch.find(id);
        std::string what = patch.name + " takes state " + std::to_string(id) + " over from " + former.name;
        if (declared == nullptr || former.set != patch.set) return violate(what + ", which can't be");
        bool is_rollback = patch.number < former.number;
        if (declared->version < model.version && !is_rollback) violate(what + " though it is older");
        model.owner = patch.name;
        model.version = declared->version;
        model.irreversible = model.irreversible || declared->irreversible;
        ++result_.takeovers;
    }

    void check_idle() {
        Registered registered;
        registry_->visit_patches(registered);
        for (auto& name : registered.enabled) {
            const DeclaredPatch& patch = *find(name);
            for (auto& declared : patch.states) {
                ModelState& model = state(declared.id);
                if (model.stage == Stage::present && model.owner != name) take_over(patch, declared.id);
                if (model.stage != Stage::present || model.owner != name)
                    violate(name + " is in force without its state " + std::to_string(declared.id));
            }
        }
        for (auto& [id, model] : states_) {
            bool has_owner = std::count(registered.enabled.begin(), registered.enabled.end(), model.owner) != 0;
            if (model.stage != Stage::absent && (model.stage != Stage::present || !has_owner))
                violate("state " + std::to_string(id) + " of " + model.owner +
                        " is left half-way or without its patch");
            bool is_kept = model.stage == Stage::present;
            for (auto& name : registered.dormant) is_kept = is_kept || find(name)->find(id) != nullptr;
            if (!is_kept && machine_.count_shadow(id) != 0)
                violate("variables of state " + std::to_string(id) + " outlive it");
        }
    }

    // Everything is brought to an end, and what can be unloaded is.
    void finish() {
        settle();
        Registered registered;
        registry_->visit_patches(registered);
        for (auto& name : registered.enabled) {
            if (!good()) break;
            count(registry_->unregister(name));
            observe();
            settle();
        }
        machine_.forget_sites();
        registry_.reset();
        if (!machine_.violations.empty()) violate(machine_.violations.front());
        if (good() && machine_.ledger() != Ledger{}) violate("something is left when the registry has gone");
    }

    void settle() {
        machine_.unmoved.clear();
        for (int i = 0; i < 500 && !registry_->is_idle(); ++i) {
            end_callback(false, false);
            observe();
        }
        if (!registry_->is_idle()) violate("it doesn't come to an end");
        // A registry that goes must not have anything running.
        while (!good() && !registry_->is_idle()) {
            if (runs_callback()) machine_.end_callback();
            (void)registry_->complete();
        }
    }

    SimImage& image_;
    StillMachine machine_;
    Random random_;
    patch::RecordOwner<patch::Registry> registry_;
    std::vector<DeclaredPatch> patches_;
    std::map<u64, ModelState> states_;
    Called ending_;  // the callback that runs
    usize seen_ = 0;
    StateHistoryResult result_;
};

}  // namespace

StateHistoryResult run_state_history(SimImage& image, u64 seed) {
    return StateHistory(image, seed).run();
}

}  // namespace graft::sim
