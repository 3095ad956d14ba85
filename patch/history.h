// History: what happened to patches, as numbered records in a ring. A number is never used twice, so a reader that
// comes late sees from the numbers how many records it missed.
//
// Locking: the registry's lock. Context: task.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "base/text.h"
#include "base/types.h"
#include "formats/keys.h"
#include "patch/canary.h"
#include "patch/machine.h"
#include "patch/refusal.h"

namespace graft::patch {

inline constexpr usize kHistorySize = 256;  // records kept

enum class HistoryEvent : u8 {
    refused,           // a load: refusal says why; nothing has changed
    load_started,      // the patch's functions are live, tasks move; `other`: the patch that it replaces
    unload_started,    // tasks move back
    rollback_started,  // tasks move to the predecessor, `other`, or to the original
    turned,            // a running transition was reversed
    expired,           // a transition's deadline has passed, so it was reversed; `tasks` hadn't moved
    held,              // one of them: `task`, named `other`, is in `function`
    forced,            // the `tasks` that were left were moved by force
    loaded,            // a transition ended with the patch in force; `turns` odd: it was to be put out of force
    unloaded,          // a transition ended with the patch out of force; `turns` odd: a load that was reversed
    rolled_back,       // the same, by a rollback; `other` is in force again
    replaced,          // `other` has come into force in its place
    dormant,           // the same, and it can be gone back to
    committed,         // its probation is over; `other`, which was dormant, is let go
    withdrawn,         // the system itself has it rolled back or reversed; `other` says why
    lingers,           // out of force, but something still points into it; place and word say what
    freed,             // its memory is free again
    canary,            // of a load, the share has moved: `policy` and `share`; the others stay until it is promoted
    promoted,          // from now on all tasks move
    aborted,           // the system itself has the canary reversed; `other` says why
    stuck,             // all tasks moved, but the call sites can't be settled: refusal says why
    fault,             // `task`, named `other`, was stopped at `place` in `function`: a contained fault; `then`
};
inline constexpr usize kHistoryEventCount = 22;

struct HistoryRecord {
    u64 number = 0;  // from 1
    u64 time_ns = 0;
    HistoryEvent event = HistoryEvent::refused;
    Label<200> patch;
    Label<200> other;
    Label<formats::kMaxKeyName> signer;  // who vouched for the patch; empty: nobody
    Refusal refusal;                     // refused, stuck
    u32 turns = 0;                       // loaded, unloaded, rolled_back, turned: how often the transition was reversed
    u64 duration_ns = 0;                 // loaded, unloaded, rolled_back: since the transition began
    MoveCounts moves{};                  // loaded, unloaded, rolled_back: by MoveCause
    u64 place = 0, word = 0;             // lingers: the first reference found; fault: the instruction
    u64 references = 0;                  // lingers: how many
    u64 tasks = 0;                       // expired, forced: how many
    u64 task = 0;                        // held, fault
    Label<120> function;                 // held, fault
    Label<64> kind;                      // fault: which exception
    std::string_view then;               // fault: what becomes of the patch; a static text
    CanaryPolicy policy;                 // canary, promoted
    ShareCount share;                    // canary, promoted
    u64 probation_ns = 0;                // loaded: how long it is on probation
};

std::string_view name_of(HistoryEvent event);
std::string_view name_of(MoveCause cause);

// One line without its end: number, seconds since boot, event, patch, then `key=value` columns, separated by tabs.
void render(const HistoryRecord& record, TextBuffer& out);

class History {
public:
    // Numbers the record, keeps it and returns its number.
    u64 add(HistoryRecord record);

    // 0 as long as there is none.
    u64 last_number() const { return next_number_ - 1; }
    // The oldest one that is kept; last_number() + 1 when there is none.
    u64 first_number() const;

    // Copies records from number `from` on (or from the oldest that is kept, if that one is gone) and returns how many.
    usize read(u64 from, std::span<HistoryRecord> out) const;

private:
    std::array<HistoryRecord, kHistorySize> ring_{};
    u64 next_number_ = 1;
};

}  // namespace graft::patch
