// The simulation of the patch core: random histories, and every deliberate defect until it is noticed.
//   sim [--seeds COUNT] [--first SEED] [--step N]   all of it, with every N-th seed; the last line sums it up
//   sim --only histories [...]                      without defects and states
//   sim --seed SEED [--defect NAME]                 one history, told in full
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/sim/history.h"
#include "tests/sim/state_history.h"

namespace graft::sim {
namespace {

constexpr u64 kEnough = 1000;          // so many histories come to everything
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
    std::printf("moves: walk=%lu interrupt=%lu hook=%lu birth=%lu exit=%lu force=%lu\n", result.moves[0],
                result.moves[1], result.moves[2], result.moves[3], result.moves[4], result.moves[5]);
    for (usize i = 0; i < kHappeningCount; ++i)
        std::printf("  %s=%lu\n", std::string(name_of(static_cast<Happening>(i))).c_str(), result.happened[i]);
    for (usize i = 0; i < patch::kRefusalCodeCount; ++i) {
        auto code = static_cast<patch::RefusalCode>(i);
        if (result.refused[i] != 0)
            std::printf("  refused %s=%lu\n", std::string(patch::name_of(code)).c_str(), result.refused[i]);
    }
}

// What so many histories should have come to and haven't; how much that is.
u64 tell_unreached(const HistoryResult& sum) {
    if (sum.histories < kEnough) return 0;
    u64 unreached = 0;
    auto look = [&](u64 count, std::string_view name) {
        if (count != 0) return;
        ++unreached;
        std::printf("never reached: %s\n", std::string(name).c_str());
    };
    for (usize i = 0; i < kHappeningCount; ++i) look(sum.happened[i], name_of(static_cast<Happening>(i)));
    for (auto code : expected_refusals()) look(sum.refused[static_cast<usize>(code)], patch::name_of(code));
    for (auto count : sum.moves) look(count, "a way of moving");
    return unreached;
}

int run_one(SimImage& image, u64 seed, Defect defect) {
    auto result = run_history(image, {.seed = seed, .defect = defect});
    tell(result);
    if (result.violation.empty()) return 0;
    std::printf("seed %lu: %s\n", seed, result.violation.c_str());
    return 1;
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

struct Options {
    u64 seeds = 1000;
    u64 first = 1;
    u64 step = 1;  // every so many-th seed
    u64 seed = 0;  // one history
    bool only_histories = false;
    Defect defect = Defect::none;
};

int run_all(SimImage& image, const Options& options) {
    auto began = std::chrono::steady_clock::now();
    HistoryResult sum;
    sum.histories = 0;
    u64 violations = 0;
    for (u64 i = 0; i < options.seeds; ++i) {
        u64 seed = options.first + i * options.step;
        auto result = run_history(image, {.seed = seed});
        sum.add(result);
        if (result.violation.empty()) continue;
        ++violations;
        std::printf("violation: seed %lu: %s (replay: build/sim --seed %lu)\n", seed, result.violation.c_str(), seed);
    }
    auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
    tell(sum);
    u64 unreached = options.only_histories ? 0 : tell_unreached(sum);
    u64 overlooked = 0;
    if (!options.only_histories) {
        violations += run_states(image, options.seeds, options.first);
        overlooked = run_defects(image);
        std::printf("defects: tried=%zu overlooked=%lu\n", kDefectCount - 1, overlooked);
    }
    std::printf("sim: histories=%lu events=%lu us_per_history=%lu unreached=%lu violations=%lu\n", options.seeds,
                sum.events, static_cast<u64>(took.count()) / (options.seeds != 0 ? options.seeds : 1), unreached,
                violations);
    return violations == 0 && overlooked == 0 && unreached == 0 ? 0 : 1;
}

int usage() {
    std::fprintf(stderr,
                 "usage: sim [--seeds COUNT] [--first SEED] [--step N] [--only histories]\n"
                 "       sim --seed SEED [--defect NAME]\n");
    return 2;
}

int run(int count, char** arguments) {
    Options options;
    for (int i = 1; i < count; i += 2) {
        std::string option = arguments[i];
        if (i + 1 == count) return usage();
        const char* value = arguments[i + 1];
        if (option == "--seeds") {
            options.seeds = number(value);
        } else if (option == "--first") {
            options.first = number(value);
        } else if (option == "--step") {
            options.step = number(value);
        } else if (option == "--only" && std::strcmp(value, "histories") == 0) {
            options.only_histories = true;
        } else if (option == "--seed") {
            options.seed = number(value);
        } else if (option == "--defect") {
            options.defect = defect_named(value);
        } else {
            return usage();
        }
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    SimImage image(kOrdinaryFunctions);
    return options.seed != 0 ? run_one(image, options.seed, options.defect) : run_all(image, options);
}

}  // namespace
}  // namespace graft::sim

int main(int count, char** arguments) {
    return graft::sim::run(count, arguments);
}
