#include "tests/sim/history.h"

#include "patch/registry.h"
#include "tests/sim/patch_builder.h"
#include "tests/sim/sim_machine.h"

namespace graft::sim {

using namespace patch;

namespace {

constexpr usize kDefinitions = 4;
constexpr usize kChanging = 12;  // functions that patches change or hold, the first ones
constexpr int kMostRounds = 500;

std::vector<PatchDefinition> make_definitions(Random& random) {
    std::vector<PatchDefinition> definitions;
    for (usize i = 0; i < kDefinitions; ++i) {
        PatchDefinition made;
        made.name = "patch-" + std::to_string(i);
        made.leaks = random.percent(40);
        for (u64 n = 1 + random.below(3); n > 0; --n) made.replaced.insert(random.below(kChanging));
        for (u64 n = random.below(3); n > 0; --n) {
            usize function = random.below(kChanging);
            if (!made.replaced.contains(function)) made.held.insert(function);
        }
        definitions.push_back(std::move(made));
    }
    return definitions;
}

Bytes make_file(const SimImage& image, const PatchDefinition& definition, bool wrong) {
    PatchBuilder builder(image, definition.name);
    u32 helper = builder.add_function("helper");
    for (usize function : definition.replaced)
        builder.add_call(builder.replace(image.function(function).name), 8, helper);
    for (usize function : definition.held) builder.add_hold(image.function(function));
    if (wrong) builder.functions[0].position = 7;
    return builder.build();
}

class Tally final : public PatchVisitor, public FunctionVisitor {
public:
    void patch(const PatchView& view) override { patches.emplace_back(view.name); }
    void function(const FunctionView& view) override {
        if (view.patched) sites[view.entry] = view.new_function;
    }
    std::vector<std::string> patches;
    std::map<VirtAddr, VirtAddr> sites;
};

class History {
public:
    History(SimImage& image, const HistoryOptions& options)
        : random_(options.seed),
          model_(make_definitions(random_)),
          machine_(image, model_, random_, sim_options(options)),
          registry_(Registry::create(machine_)),
          image_(image),
          operations_(options.operations) {
        for (auto& definition : model_.definitions()) files_.push_back(make_file(image, definition, false));
    }

    HistoryResult run() {
        before_ = machine_.ledger();
        for (usize i = 0; i < operations_ && !machine_.broken(); ++i) {
            machine_.run(400);
            operate();
            check();
        }
        if (!machine_.broken()) wind_up();
        result_.events = machine_.events();
        result_.moves = machine_.all_moves();
        if (machine_.broken()) result_.violation = machine_.violations.front();
        // After a violation the records don't fit together any more: they are left as they are.
        if (machine_.broken()) (void)registry_.give_up();
        return result_;
    }

private:
    SimOptions sim_options(const HistoryOptions& options) {
        SimOptions made;
        made.defect = options.defect;
        made.tasks = options.tasks != 0 ? options.tasks : 4 + random_.below(random_.percent(4) ? 4000 : 60);
        made.most_tasks = made.tasks * 2;
        made.fewest_tasks = made.tasks / 2;
        made.processors = 1 + random_.below(6);
        return made;
    }

    // Mostly what makes sense at this moment, sometimes anything.
    void operate() {
        auto running = registry_->transition();
        u64 what = random_.below(100);
        usize which = random_.below(kDefinitions);
        std::string name = model_.definitions()[which].name;
        if (what < 5) return plan(which);
        if (what < 8) {
            result_.freed += registry_->retry_lingering();
            return;
        }
        if (running) {
            if (what < 64) name = running->patch.view();
            if (what < 55) return machine_.worker_due() || what < 12 ? complete() : machine_.run(4000);
            if (what < 62) return request([&] { return registry_->reverse(name); });
            if (what < 65) return request([&] { return registry_->unregister(name); });
            if (what < 68) return load(which);
            return machine_.run(6000);
        }
        if (what < 70) return load(which);
        request([&] { return registry_->unregister(name); });
    }

    // Sometimes the machine fails at some point, and sometimes the file is wrong: then all must be as before.
    void load(usize which) {
        bool wrong = random_.percent(8);
        Bytes spoiled = wrong ? make_file(image_, model_.definitions()[which], true) : Bytes();
        if (random_.percent(20)) machine_.fail_after(1 + random_.below(30));
        request([&] { return registry_->load(wrong ? spoiled : files_[which], {}, {}); });
    }

    template <typename Request>
    void request(Request make) {
        if (random_.percent(10) && !machine_.failure_pending()) machine_.fail_after(1 + random_.below(12));
        auto before = machine_.ledger();
        auto result = make();
        machine_.fail_after(0);
        if (result) return;
        ++result_.refusals;
        if (machine_.ledger() != before && !machine_.broken())
            machine_.violations.push_back("a refusal left something behind");
    }

    void plan(usize which) {
        class Sink final : public PlanSink {
            void patch(const PatchView&) override {}
            void function(const FunctionView&) override {}
            void holder(u64, Verdict::Kind) override {}
            void refusal(const Refusal&) override {}
        } sink;
        auto before = machine_.ledger();
        registry_->plan(files_[which], {}, {}, sink);
        if (machine_.ledger() != before) machine_.violations.push_back("a plan changed something");
    }

    void complete() {
        auto running = registry_->transition();
        if (random_.percent(5)) machine_.fail_after(1);
        machine_.worker_called();
        auto completed = registry_->complete();
        machine_.fail_after(0);
        if (completed != Completion::done || !running) return;
        (running->appearing ? result_.loads : result_.unloads) += 1;
        result_.turns += running->turns;
        for (usize i = 0; i < kDefinitions; ++i) {
            if (running->patch.view() != model_.definitions()[i].name) continue;
            Force expected = running->appearing ? Force::in : Force::out;
            if (model_.force(i) != expected) machine_.violations.push_back("a transition ended on the wrong side");
        }
    }

    // When no transition runs, func stacks and call sites say the same.
    void check() {
        if (machine_.broken() || registry_->transition()) return;
        Tally tally;
        registry_->visit_patches(tally);
        for (auto& name : tally.patches) registry_->visit_functions(name, tally);
        if (machine_.ledger().sites != tally.sites)
            machine_.violations.push_back("call sites and func stacks disagree");
        if (machine_.ledger().trampolines != 0) machine_.violations.push_back("trampolines are left");
    }

    // Unloads everything. With tasks that all run on, each transition ends, and nothing is left.
    void wind_up() {
        machine_.keep_tasks();
        for (int round = 0; round < kMostRounds && !machine_.broken(); ++round) {
            machine_.wake_all();
            if (round > 50) machine_.forget_pointers();
            machine_.run(500 + 40 * machine_.task_count());
            if (registry_->transition()) {
                complete();
                continue;
            }
            Tally tally;
            registry_->visit_patches(tally);
            if (!tally.patches.empty()) {
                (void)registry_->unregister(tally.patches[random_.below(tally.patches.size())]).has_value();
                continue;
            }
            result_.freed += registry_->retry_lingering();
            check();
            if (machine_.ledger() == before_) return give_back();
        }
        if (!machine_.broken()) {
            machine_.violations.push_back(registry_->transition() ? "a transition never ends"
                                                                  : "memory or records are left behind");
        }
    }

    void give_back() {
        registry_.reset();
        if (machine_.ledger() != Ledger{}) machine_.violations.push_back("the registry left records behind");
    }

    Random random_;
    Model model_;
    SimMachine machine_;
    RecordOwner<Registry> registry_;
    SimImage& image_;
    usize operations_;
    std::vector<Bytes> files_;
    Ledger before_;
    HistoryResult result_;
};

}  // namespace

HistoryResult run_history(SimImage& image, const HistoryOptions& options) {
    return History(image, options).run();
}

}  // namespace graft::sim
