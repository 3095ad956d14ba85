// What the patches of this test change, and what they leave behind for the test to see.
//
//   set     patches                    changes
//   pair    pair-1, pair-2, pair-3,    alpha and beta, which belong together within a call of call_pair(): that one is
//           pair-4                     held; pair-3 leaves beta to the original, and pair-4 both
//   solo    solo-1, solo-2             gamma; solo-1 attaches shadow variables
//   tally   tally                      nothing: it has a state only
//
// The others are refused always, or wherever the test offers them.
#pragma once

#include <array>
#include <atomic>

#include "base/types.h"
#include "patch/shadow.h"

namespace graft::lifecycle {

// In the order of the boot module's patches; `none` is the image as it was built.
enum class File : u8 {
    none,
    pair_1,
    pair_2,
    pair_3,
    pair_4,
    solo_1,
    solo_2,
    tally,
    refusing,  // its second state's pre_patch refuses
    clash,     // changes gamma, and is of another set
    foreign,   // has the ledger's id, and is of another set
    forever,   // has an irreversible state
};
inline constexpr usize kFileCount = 12;

enum class Linger : u8 {
    none,
    spin,
    yield,
    sleep,
    stay,   // until the driver lets go
    fault,  // for good: through a null pointer
};

struct Round {
    Linger in_alpha = Linger::none;
    Linger in_beta = Linger::none;
    Linger in_gamma = Linger::none;
    u64 random = 1;  // a state for linger()'s choices
};

// Each returns the number of the patch whose version it is, 0 for the original.
u32 alpha(Round& round);
u32 beta(Round& round);
u32 gamma(Round& round);

// Unchanged, and held by the patches of the set: alpha's version * 256 + beta's.
u32 call_pair(Round& round);
// Unchanged, and not held: on the stack it is above the changing ones.
void linger(Round& round, Linger how);

// ---- states

inline constexpr u64 kLedger = 0x1ed6e4;
inline constexpr u64 kNotes = 0x207e5;

// As in formats::KlpCallback.
enum class Callback : u8 { pre_patch, post_patch, pre_unpatch, post_unpatch };
inline constexpr usize kCallbackCount = 4;
using CallbackCounts = std::array<std::array<u64, kCallbackCount>, kFileCount>;

// Called by patches only, and so kept by hand.
extern std::array<std::array<std::atomic<u64>, kCallbackCount>, kFileCount> g_callback_runs;
void count_callback(File file, Callback callback);

// Called by every pre_patch: waits there as long as the driver wants it to.
void arrive_in_pre_patch();

struct Object {
    u64 number = 0;
};
inline constexpr usize kObjectCount = 4;
extern std::array<Object, kObjectCount> g_objects;

// A shadow variable; the image counts how many there are.
extern std::atomic<u64> g_notes_alive;
extern std::atomic<u64> g_next_note;  // what the next one is given: tells those of one appearance from another's
struct Note {
    explicit Note(u64 value) : value(value) { g_notes_alive.fetch_add(1, std::memory_order_relaxed); }
    ~Note() { g_notes_alive.fetch_sub(1, std::memory_order_relaxed); }
    u64 value;
};
using NoteOf = patch::ShadowVariable<Note, kNotes>;

}  // namespace graft::lifecycle
