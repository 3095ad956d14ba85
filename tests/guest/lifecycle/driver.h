// What all operations of the test share: asking the registry, waiting, comparing with the model.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "arch/x86_64/clock.h"
#include "kernel/memory.h"
#include "kernel/timers.h"
#include "patch/registry.h"
#include "tests/guest/lifecycle/model.h"
#include "tests/guest/lifecycle/workload.h"
#include "tests/guest/shared/eventually.h"
#include "tests/guest/shared/footprint.h"
#include "tests/guest/shared/random.h"

namespace graft::lifecycle {

using tests::eventually;
using tests::next_random;

// What changes that ended forward were, whatever operation made them.
enum class Situation : u8 {
    taken_over,        // both named the state
    kept_dormant,      // a successor on probation undid the notes
    found_again,       // a rollback brought them back
    back_to_original,  // a successor left a function alone that its predecessor changed
};
inline constexpr usize kSituationCount = 4;
inline constexpr std::string_view kSituationNames[kSituationCount] = {"state-taken-over", "notes-kept-dormant",
                                                                      "notes-found-again", "function-left-alone"};

struct Lifecycle {
    patch::Registry& registry;
    u64 random;
    u64 lasting_tasks = 0;
    Model model{};
    u64 requests = 0;  // numbers names and notes
    u64 forced = 0;
    u64 wrong = 0;
    u64 leaked = 0;
    bool hung = false;
    std::optional<tests::Footprint> base{};
    std::array<u64, kSituationCount> situations{};
};

inline constexpr u64 kLongNs = 100'000'000'000'000;  // a probation that doesn't end by itself

void say(std::string_view text);
u64 draw(Lifecycle& life, u64 bound);  // 0 … bound - 1
bool one_in(Lifecycle& life, u64 n);
void sleep_randomly(Lifecycle& life, u64 bound_ns);

// Something isn't as it must be; told on the console, counted as wrong.
void complain(Lifecycle& life, std::string_view what, std::string_view about = {});
void complain(Lifecycle& life, std::string_view what, const patch::Refusal& refusal);
void require(Lifecycle& life, bool condition, std::string_view what, std::string_view about = {});
// Nobody comes: the test ends.
void hang(Lifecycle& life, std::string_view what);

// False when the boot module isn't all patches, in the order of File.
[[nodiscard]] bool find_files();
std::span<const std::byte> file_of(File file);
patch::Label<32> new_name(Lifecycle& life);

// ---- changes

// Any load, unload or rollback that the sets allow now.
Change pick_change(Lifecycle& life);
// A load of any patch of the set that isn't refused, with or without a long probation; the set isn't on probation.
Change pick_load(Lifecycle& life, Set set);
Change load_of(Lifecycle& life, Set set, File file, u64 probation_ns = 0);
Change unload_of(Lifecycle& life, Set set);
Change rollback_of(Lifecycle& life, Set set);

std::optional<Place> place_of(Set set);  // nothing for the tally
bool has_functions(File file);           // of those that belong to the sets
// Where the change can be seen in calls; nothing when it changes no function.
std::optional<Place> place_of(const Lifecycle& life, const Change& change);
bool is_in_force(const Lifecycle& life, Set set);

// Asks for it. The ticket: see Registry::load().
patch::RefusalResult<void> request(Lifecycle& life, Change& change, u64 deadline_ns, u64& ticket);
patch::RefusalResult<void> decided(Lifecycle& life, u64 ticket);
// Both; it must begin. False when it was refused.
bool begin(Lifecycle& life, Change& change, u64 deadline_ns = 0);
// Calls may see what is there before it and after it.
void allow_both(Lifecycle& life, const Change& change);
// Waits until nothing runs any more.
void settle(Lifecycle& life);
// Settles; the change must have come to this end, and everything must be as the model says.
void finish(Lifecycle& life, const Change& change, bool forward);

// ---- checks

// Calls may see what the model says, and nothing else; the registry, the callbacks and the notes agree with it.
void check_all(Lifecycle& life);
// Unloads everything, has every task make a round, waits until all is freed, compares with the first time.
void check_at_base(Lifecycle& life);

}  // namespace graft::lifecycle
