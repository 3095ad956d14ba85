// StillMachine: patch/machine.h without tasks. Memory, call sites, trampolines and registrations are real enough to be
// checked; every fallible call can be made to fail; misuse by the core is counted as a violation.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/types.h"
#include "patch/machine.h"
#include "tests/sim/sim_image.h"

namespace graft::sim {

struct Call {
    VirtAddr function;
    u64 argument;
};

// What a refused request must leave alone.
struct Ledger {
    usize records = 0;
    u64 record_bytes = 0;
    u64 patch_bytes = 0;
    usize registered = 0;
    usize trampolines = 0;
    usize measured = 0;
    std::map<VirtAddr, VirtAddr> sites;
    bool in_transition = false;

    bool operator==(const Ledger&) const = default;
};

class StillMachine : public patch::Machine {
public:
    explicit StillMachine(SimImage& image);
    ~StillMachine();

    // -- patch::Machine
    void lock() override;
    void unlock() override;
    void* allocate(usize size, usize alignment) override;
    void release(void* memory, usize size) override;
    const patch::BuildId& build_id() const override { return image_.build_id(); }
    AddressRange image() const override { return image_.range(); }
    std::optional<patch::FunctionInfo> function_at(VirtAddr entry) const override { return image_.info_at(entry); }
    bool has_symbol(std::string_view name, VirtAddr address) const override { return image_.has_symbol(name, address); }
    std::optional<VirtAddr> find_global(std::string_view name) const override { return image_.find_global(name); }
    bool is_init_text(VirtAddr entry) const override { return image_.is_init_text(entry); }
    bool read_image(VirtAddr address, std::span<std::byte> bytes) const override { return image_.read(address, bytes); }
    std::span<const formats::TrustedKey> trusted_keys() const override { return keys; }
    bool accepts_unsigned(patch::Source) const override { return unsigned_accepted; }
    patch::MachineResult<patch::PatchMemory> reserve(const patch::MemoryRequest& request) override;
    patch::MachineResult<void> seal(const patch::PatchMemory& memory) override;
    void release_memory(const patch::PatchMemory& memory) override;
    patch::MachineResult<void> verify_frames(std::span<const std::byte> staged, VirtAddr at, AddressRange text,
                                             std::span<const patch::CodeSymbol> functions) const override;
    patch::MachineResult<void> register_code(const patch::PatchCode& code) override;
    void unregister_code(const patch::PatchCode& code) override;
    void call(VirtAddr function, u64 argument) override;
    void watch_faults(AddressRange text, bool is_watched) override;
    void start_callback(const patch::CallbackCall& call) override;
    std::optional<patch::CallbackEnd> callback_end() override { return callback_end_; }
    usize count_shadow(u64 state) override;
    patch::MachineResult<patch::Trampolines> make_trampolines(std::span<const patch::Dispatch> dispatches) override;
    void release_trampolines(const patch::Trampolines& trampolines) override;
    patch::MachineResult<void> write_sites(std::span<const patch::SiteChange> changes) override;
    bool drain(const patch::Trampolines&) override { return !undrained; }
    void synchronise() override {}
    patch::MachineResult<void> prepare_measuring(std::span<const patch::Dispatch> functions, patch::Universe settled,
                                                 patch::Universe new_side) override;
    VirtAddr measured_site(VirtAddr entry) const override { return entry + kGateDistance; }
    void measure_both(std::span<const patch::Dispatch> functions, patch::Universe new_side) override;
    void measure_one(std::span<const patch::Dispatch> functions, patch::Universe which,
                     patch::Universe new_side) override;
    void stop_measuring(std::span<const patch::Dispatch> functions) override;
    patch::MeasuredFunction measured(VirtAddr entry) const override;
    void begin_transition(const patch::Examiner& examiner, patch::Universe target) override;
    void begin_canary(const patch::Examiner& examiner, patch::Universe target,
                      const patch::CanaryPolicy& policy) override;
    void promote_canary() override;
    patch::ShareCount share() const override { return share_count; }
    void turn_transition(patch::Universe target) override;
    void end_transition() override;
    void sweep() override {}
    u64 tasks_to_move() const override { return unmoved.size(); }
    patch::MoveCounts moves() const override { return moves_; }
    void force_moves() override { unmoved.clear(); }
    void visit_holders(patch::HolderSink& sink) override {
        for (u64 task : unmoved) sink.holder({task, "task", "function"});
    }
    void survey(const patch::Examiner&, patch::SurveySink&) override {}
    void nudge_each(u64 period_ns) override { nudge_period_ns = period_ns; }
    bool search_later() override { return false; }
    void prepare_search(std::span<const AddressRange>) override {}
    patch::SearchReport find_references(std::span<const AddressRange> ranges, patch::ReferenceSink& sink) override;
    u64 now_ns() const override { return ++clock_; }
    void set_alarm(u64 at_ns) override { alarm_ns = at_ns; }
    void log(patch::LogLevel level, std::string_view text) override;
    void history_grew() override { ++history_records; }

    // -- for tests
    Ledger ledger() const;
    void advance(u64 ns) { clock_ += ns; }
    void forget_sites() { sites_.clear(); }
    VirtAddr site(VirtAddr entry) const;
    // Where live call sites lead when no transition runs, through measuring too; those back to the original left out.
    std::map<VirtAddr, VirtAddr> destinations() const;
    // The n-th fallible call from now on fails (1 = the next one); 0 = none.
    void fail_after(u64 calls) { fail_after_ = calls; }
    bool failure_pending() const { return fail_after_ != 0; }
    bool has_failed() const { return has_failed_; }  // since the last forget_failure()
    void forget_failure() { has_failed_ = false; }
    u64 clock() const { return clock_; }
    const patch::Examiner* examiner() const { return examiner_; }
    patch::Universe target() const { return target_; }
    // The patch whose text holds the address, or nothing.
    const patch::PatchCode* code_at(VirtAddr address) const;
    bool is_live_text(VirtAddr address) const;

    // Whether faults at that place are contained.
    bool is_watched(VirtAddr code) const;

    std::vector<u64> unmoved;  // ids of tasks that a transition waits for
    u64 alarm_ns = patch::kNoAlarm;
    u64 nudge_period_ns = 0;  // of the running transition
    patch::ShareCount share_count;
    std::vector<patch::Dispatch> made_dispatches;  // of the last trampolines
    patch::CanaryPolicy canary;                    // of the running transition, until it is promoted
    std::vector<formats::TrustedKey> keys;
    bool unsigned_accepted = true;             // from everywhere
    std::vector<patch::Reference> references;  // what find_references() finds
    std::vector<Call> calls;
    std::vector<std::string> log_lines;
    std::set<VirtAddr> foreign_sites;  // entries at which a debugger left a breakpoint
    bool undrained = false;            // there is a stack that drain() can't walk
    u64 history_records = 0;
    std::map<VirtAddr, patch::MeasuredFunction> counted;  // by entry: what measured() tells, of what is measured

    // Callbacks as the core started them, by patch and function: "fix pre_patch_7"; "shadow 7": the end of shadow
    // variables.
    std::vector<std::string> callbacks;
    bool hold_callbacks = false;               // they run on until end_callback()
    std::set<std::string> refusing_callbacks;  // names of those that refuse
    std::map<u64, usize> shadow_variables;     // by state
    bool callback_runs() const { return !callback_end_.has_value(); }
    void end_callback(patch::CallbackEnd end = {});
    std::vector<std::string> violations;  // misuse of the contract by the core

protected:
    // Where gates lie, from their functions' entries; nothing else is there.
    static constexpr u64 kGateDistance = u64{1} << 44;
    struct Measured {
        std::array<VirtAddr, 2> version;  // by universe
        std::array<bool, 2> is_new{};     // do calls count as the patch's version's?
    };
    struct TrampolineSet {
        AddressRange text;
        std::vector<patch::Dispatch> dispatches;
    };
    struct Allocation {
        patch::PatchMemory memory;
        bool sealed = false;
    };

    void violation(std::string what);
    bool fails();
    std::optional<patch::MachineError> site_failure(std::span<const patch::SiteChange> changes);
    VirtAddr take_room(u64 size);

    SimImage& image_;
    std::map<VirtAddr, VirtAddr> sites_;  // live ones only
    std::map<u64, TrampolineSet> trampolines_;
    std::map<VirtAddr, Measured> measured_;  // by entry
    std::map<u64, Allocation> allocations_;
    const patch::Examiner* examiner_ = nullptr;
    patch::Universe target_ = patch::Universe::zero;
    patch::MoveCounts moves_{};
    std::optional<patch::CallbackEnd> callback_end_ = patch::CallbackEnd{};  // nothing while one runs
    patch::CallbackCall callback_;

private:
    std::map<void*, usize> records_;
    u64 record_bytes_ = 0;
    std::set<const patch::PatchCode*> registered_;
    std::set<VirtAddr> watched_;  // where texts begin in which faults are contained
    bool locked_ = false;
    u64 next_handle_ = 1;
    VirtAddr next_room_;
    u64 fail_after_ = 0;
    bool has_failed_ = false;
    mutable u64 clock_ = 0;
};

}  // namespace graft::sim
