// The run of one history (tests/sim/history.h): the model, the machine, the registry between them, and what is done.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/function_ref.h"
#include "patch/registry.h"
#include "tests/sim/history.h"
#include "tests/sim/model.h"
#include "tests/sim/object_builder.h"
#include "tests/sim/random.h"
#include "tests/sim/sim_machine.h"

namespace graft::sim {

constexpr u64 kMoment = 1'000'000;        // far more than the calls of now_ns() in one history
constexpr u64 kLongTime = 2'500'000'000;  // more than the core waits before it tries again

// What the registry shows of itself.
class VisiblePatches final : public patch::PatchVisitor, public patch::FunctionVisitor {
public:
    void patch(const patch::PatchView& view) override {
        patches.emplace_back(view.name);
        told.push_back(std::string(view.name) + " " + std::string(name_of(view.stage)) + " " +
                       std::string(view.dormant) + (view.on_probation ? " on probation" : ""));
        in_force += view.enabled ? 1 : 0;
        share_has_moved = share_has_moved || (view.canary.has_moved && !view.canary.promoted);
    }
    void function(const patch::FunctionView& view) override {
        if (view.patched) sites[view.entry] = view.new_function;
    }
    std::vector<std::string> patches;
    std::vector<std::string> told;
    std::map<VirtAddr, VirtAddr> sites;
    usize in_force = 0;
    bool share_has_moved = false;  // of a canary that waits for its promotion
};

class HistoryRun {
public:
    HistoryRun(SimImage& image, const HistoryOptions& options);
    HistoryResult run();

private:
    // history.cpp
    SimOptions sim_options(const HistoryOptions& options);
    void operate();
    void steer(int patch);
    int in_force(int patch);
    void note_turn();
    void complete();
    void note_share(bool had_moved);
    void note_end(const ModelChange& change, bool was_on_probation);
    void note_load(const ModelChange& change);
    VisiblePatches look();
    void check();
    void wind_up();
    void end_something();
    void give_back();
    void take_counts();
    // history_requests.cpp
    bool ask(const Expected& expected, FunctionRef<patch::RefusalResult<void>()> make);
    void load(int patch);
    patch::CanaryPolicy some_canary();
    void promote(int patch);
    void abort(int patch);
    void unregister(int patch);
    void reverse(int patch);
    void roll_back(int patch);
    void commit(int patch);
    void force(int patch);
    void withdraw(int patch);
    void fault();
    void answer(const SimFault& fault);
    void plan(int patch);
    void search();
    // history_time.cpp
    void check_due_rollback();
    void pass_time();
    bool is_deadline_over(u64 now) const;
    void ring();
    void note_expiry(usize set, u64 now);
    void check_deadline(bool is_deadline, u64 turns);

    bool good() const { return !machine_.broken(); }
    void violate(std::string what) { machine_.violations.push_back(std::move(what)); }
    bool has(Defect defect) const { return options_.defect == defect; }
    u64& count(Happening happening) { return result_.count(happening); }
    std::string_view name(int patch) const { return model_.definition(patch).name; }
    int some_patch() { return static_cast<int>(random_.below(model_.definitions().size())); }
    u64 some_deadline() { return random_.percent(30) ? (1 + random_.below(12)) * kMoment : 0; }
    static usize index(int patch) { return static_cast<usize>(patch); }

    Random random_;
    HistoryResult result_;
    u64 pause_ = 0;
    Model model_;
    SimMachine machine_;
    patch::RecordOwner<patch::Registry> registry_;
    SimImage& image_;
    HistoryOptions options_;
    std::vector<Bytes> files_;
    Ledger before_;
    bool can_fail_ = true;
    bool was_forced_ = false;  // the change that is under way
    std::optional<SimFault> stopped_;
};

}  // namespace graft::sim
