// Views: what the registry shows of itself. All of them are valid only during the call that hands them out, which runs
// under the registry's lock: a visitor copies what it wants to keep, and neither sleeps nor calls the registry.
// Addresses are kept as text: as words in searched memory they would look like references and keep a patch from being
// freed.
#pragma once

#include <span>
#include <string_view>

#include "base/types.h"
#include "patch/canary.h"
#include "patch/health.h"
#include "patch/machine.h"
#include "patch/refusal.h"

namespace graft::patch {

// Where a patch is in its life; the table of changes is in patch/registry.h.
enum class Stage : u8 { loading, appearing, enabled, disappearing, dormant, lingering };

std::string_view name_of(Stage stage);

// A load as a canary, until its transition has ended.
struct CanaryView {
    CanaryPolicy policy;  // none: it is no canary
    ShareCount share;
    bool has_moved = false;  // the whole share has
    bool promoted = false;
    bool turned = false;  // it leads back
    u64 age_ns = 0;
};

struct PatchView {
    std::string_view name, set, version, description, fixes, built_from, built_with;
    std::string_view replaces;  // the patch that it replaced or, in a plan, would replace; empty: none
    std::string_view dormant;   // the predecessor that can be gone back to; empty: none
    bool on_probation = false;
    u64 probation_left_ns = 0;
    HealthRules health;
    bool forced = false;
    CanaryView canary;
    std::string_view signer;  // name of the key that vouched for it; empty: unsigned, and accepted so
    Stage stage = Stage::loading;
    bool enabled = false;  // registered and not on its way out
    bool in_transition = false;
    bool endless = false;  // has functions that never return
    usize func_count = 0;
    usize hold_count = 0;
    AddressRange text, rodata, data;  // empty in a plan
    u64 memory_bytes = 0;             // of the three, without padding to pages
    u64 loaded_ns = 0;                // when load() began its transition
    u64 faults = 0;                   // in its code, contained
};

struct FunctionView {
    std::string_view name;  // linkage name
    u32 position = 0;
    VirtAddr entry;         // the old function
    u64 old_size = 0;       // bytes of all its parts
    VirtAddr new_function;  // null for a hold and in a plan
    u64 new_size = 0;
    bool hold = false;
    bool patched = false;  // its func is on its func stack now
    MeasuredFunction measured;
};

struct TransitionView {
    Label<200> patch;
    bool appearing = false;
    u32 turns = 0;
    u64 began_ns = 0;
    u64 tasks_to_move = 0;
    MoveCounts moves{};
    u64 deadline_ns = 0;  // when it turns round by itself; 0: never
    bool forced = false;  // as it leads now
};

// What leaves this system in doubt for good.
struct TaintView {
    u64 forced = 0;            // transitions that were forced
    Label<200> last_forced{};  // whose the last one was
};

// A state that a patch names.
struct StateView {
    u64 id = 0;
    u32 version = 0;
    std::string_view name;
    std::string_view owner;  // the patch that holds it at this moment; empty: nobody does
    std::string_view stage;  // of this patch's: absent, prepared, present, leaving
    bool irreversible = false;
};

// The callback that runs.
struct CallbackView {
    Label<200> patch;
    Label<200> state;
    std::string_view callback;  // "pre_patch", …; "destroy" ends shadow variables
    u64 running_ns = 0;
    bool overdue = false;
};

class CodeVisitor {
public:
    virtual void code(const PatchCode& code) = 0;

protected:
    ~CodeVisitor() = default;
};

class StateVisitor {
public:
    virtual void state(const StateView& view) = 0;

protected:
    ~StateVisitor() = default;
};

class PatchVisitor {
public:
    virtual void patch(const PatchView& view) = 0;

protected:
    ~PatchVisitor() = default;
};

class FunctionVisitor {
public:
    virtual void function(const FunctionView& view) = 0;

protected:
    ~FunctionVisitor() = default;
};

class LingeringVisitor {
public:
    // `total` references were found when it was looked for them last; the first few of them.
    virtual void lingering(std::string_view patch, std::span<const Reference> places, u64 total) = 0;

protected:
    ~LingeringVisitor() = default;
};

// The answer to "would this patch load, and what would it do?".
class PlanSink {
public:
    // First, unless the file can't be read that far.
    virtual void patch(const PatchView& view) = 0;
    virtual void function(const FunctionView& view) = 0;
    virtual void state(const StateView&) {}
    // A task that the transition would have to wait for.
    virtual void holder(u64 task, Verdict::Kind why) = 0;
    // One for each thing in the way; none means that it would load.
    virtual void refusal(const Refusal& refusal) = 0;

protected:
    ~PlanSink() = default;
};

}  // namespace graft::patch
