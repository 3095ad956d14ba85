// The simulation of the patch core: random histories, and every deliberate defect until it is noticed.
//   sim [--seeds COUNT] [--first SEED]   all of it; the last line sums it up
//   sim --seed SEED [--defect NAME]      one history, told in full
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/sim/history.h"
#include "tests/sim/state_history.h"

namespace graft::sim {
namespace {

constexpr u64 kMostDefectSeeds = 300;  // within so many histories each defect must be noticed
constexpr usize kOrdinaryFunctions = 16;

u64 number(const char* text) {
    return std::strtoull(text, nullptr, 10);
}

Defect defect_named(const char* name) {
    for (usize i = 0; i < kDefectCount; ++i) {
        if (name_of(static_cast<Defect>(i)) == name) return static_cast<Defect>(i);
    }
    std::fprintf(stderr, "no such defect: %s\n", name);
    std::exit(2);
}

void tell(const HistoryResult& result) {
    std::printf("events=%lu loads=%lu unloads=%lu turns=%lu refusals=%lu freed=%lu\n", result.events, result.loads,
                result.unloads, result.turns, result.refusals, result.freed);
    std::printf("moves: walk=%lu interrupt=%lu hook=%lu birth=%lu exit=%lu\n", result.moves[0], result.moves[1],
                result.moves[2], result.moves[3], result.moves[4]);
}

int run_one(SimImage& image, u64 seed, Defect defect) {
    auto result = run_history(image, {.seed = seed, .defect = defect});
    tell(result);
    if (result.violation.empty()) return 0;
    std::printf("seed %lu: %s\n", seed, result.violation.c_str());
    return 1;
}

void add(HistoryResult& sum, const HistoryResult& result) {
    sum.events += result.events;
    sum.loads += result.loads;
    sum.unloads += result.unloads;
    sum.turns += result.turns;
    sum.refusals += result.refusals;
    sum.freed += result.freed;
    for (usize i = 0; i < patch::kMoveCauseCount; ++i) sum.moves[i] += result.moves[i];
}

// How many defects were overlooked.
u64 run_defects(SimImage& image) {
    u64 overlooked = 0;
    for (usize i = 1; i < kDefectCount; ++i) {
        auto defect = static_cast<Defect>(i);
        HistoryResult result;
        u64 seed = 0;
        while (result.violation.empty() && seed < kMostDefectSeeds)
            result = run_history(image, {.seed = ++seed, .defect = defect});
        std::string name(name_of(defect));
        if (result.violation.empty()) {
            ++overlooked;
            std::printf("defect %s: overlooked in %lu histories\n", name.c_str(), seed);
        } else {
            std::printf("defect %s: noticed in history %lu: %s\n", name.c_str(), seed, result.violation.c_str());
        }
    }
    return overlooked;
}

// Histories of states, one a seed; how many broke a rule.
u64 run_states(SimImage& image, u64 seeds, u64 first) {
    StateHistoryResult sum;
    u64 violations = 0;
    for (u64 seed = first; seed < first + seeds; ++seed) {
        auto result = run_state_history(image, seed);
        sum.callbacks += result.callbacks;
        sum.takeovers += result.takeovers;
        sum.rollbacks += result.rollbacks;
        sum.refused_by_pre_patch += result.refused_by_pre_patch;
        sum.overdue += result.overdue;
        for (auto& [code, count] : result.refusals) sum.refusals[code] += count;
        if (result.violation.empty()) continue;
        ++violations;
        std::printf("violation: states, seed %lu: %s\n", seed, result.violation.c_str());
    }
    std::printf("states: histories=%lu callbacks=%lu takeovers=%lu rollbacks=%lu refused=%lu overdue=%lu\n", seeds,
                sum.callbacks, sum.takeovers, sum.rollbacks, sum.refused_by_pre_patch, sum.overdue);
    for (auto& [code, count] : sum.refusals) std::printf("  %s=%lu\n", code.c_str(), count);
    return violations;
}

int run_all(SimImage& image, u64 seeds, u64 first) {
    HistoryResult sum;
    u64 violations = run_states(image, seeds, first);
    for (u64 seed = first; seed < first + seeds; ++seed) {
        auto result = run_history(image, {.seed = seed});
        add(sum, result);
        if (result.violation.empty()) continue;
        ++violations;
        std::printf("violation: seed %lu: %s (replay: build/sim --seed %lu)\n", seed, result.violation.c_str(), seed);
    }
    tell(sum);
    u64 overlooked = run_defects(image);
    std::printf("defects: tried=%zu overlooked=%lu\n", kDefectCount - 1, overlooked);
    std::printf("sim: histories=%lu events=%lu violations=%lu\n", seeds, sum.events, violations);
    return violations == 0 && overlooked == 0 ? 0 : 1;
}

int usage() {
    std::fprintf(stderr, "usage: sim [--seeds COUNT] [--first SEED] | --seed SEED [--defect NAME]\n");
    return 2;
}

int run(int count, char** arguments) {
    u64 seeds = 1000;
    u64 first = 1;
    u64 seed = 0;
    auto defect = Defect::none;
    for (int i = 1; i < count; i += 2) {
        std::string option = arguments[i];
        if (i + 1 == count) return usage();
        const char* value = arguments[i + 1];
        if (option == "--seeds") {
            seeds = number(value);
        } else if (option == "--first") {
            first = number(value);
        } else if (option == "--seed") {
            seed = number(value);
        } else if (option == "--defect") {
            defect = defect_named(value);
        } else {
            return usage();
        }
    }
    SimImage image(kOrdinaryFunctions);
    return seed != 0 ? run_one(image, seed, defect) : run_all(image, seeds, first);
}

}  // namespace
}  // namespace graft::sim

int main(int count, char** arguments) {
    return graft::sim::run(count, arguments);
}
