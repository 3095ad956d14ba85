// PatchMachine: patch::Machine over the real tasks, memory and text. See patch/machine.h for what each method promises.
//
//   patch_machine.cpp         records, image, memory, names, time
//   patch_machine_text.cpp    trampolines, call sites, draining
//   patch_machine_tasks.cpp   transition, sweep, survey, references
#pragma once

#include "kernel/mutex.h"
#include "patch/machine.h"

namespace graft::kernel {

class PatchMachine final : public patch::Machine {
public:
    constexpr PatchMachine() = default;
    PatchMachine(const PatchMachine&) = delete;
    PatchMachine& operator=(const PatchMachine&) = delete;

    void lock() override;
    void unlock() override;

    void* allocate(usize size, usize alignment) override;
    void release(void* memory, usize size) override;

    const patch::BuildId& build_id() const override;
    AddressRange image() const override;
    std::optional<patch::FunctionInfo> function_at(VirtAddr entry) const override;
    bool has_symbol(std::string_view name, VirtAddr address) const override;
    std::optional<VirtAddr> find_global(std::string_view name) const override;
    bool is_init_text(VirtAddr entry) const override;
    bool read_image(VirtAddr address, std::span<std::byte> bytes) const override;

    std::span<const formats::TrustedKey> trusted_keys() const override;
    bool accepts_unsigned(patch::Source source) const override;

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
    std::optional<patch::CallbackEnd> callback_end() override;
    usize count_shadow(u64 state) override;

    patch::MachineResult<patch::Trampolines> make_trampolines(std::span<const patch::Dispatch> dispatches) override;
    void release_trampolines(const patch::Trampolines& trampolines) override;
    patch::MachineResult<void> write_sites(std::span<const patch::SiteChange> changes) override;
    bool drain(const patch::Trampolines& trampolines) override;
    void synchronise() override;

    patch::MachineResult<void> prepare_measuring(std::span<const patch::Dispatch> functions, patch::Universe settled,
                                                 patch::Universe new_side) override;
    VirtAddr measured_site(VirtAddr entry) const override;
    void measure_both(std::span<const patch::Dispatch> functions, patch::Universe new_side) override;
    void measure_one(std::span<const patch::Dispatch> functions, patch::Universe which,
                     patch::Universe new_side) override;
    void stop_measuring(std::span<const patch::Dispatch> functions) override;
    patch::MeasuredFunction measured(VirtAddr entry) const override;

    void begin_transition(const patch::Examiner& examiner, patch::Universe target) override;
    void begin_canary(const patch::Examiner& examiner, patch::Universe target,
                      const patch::CanaryPolicy& policy) override;
    void promote_canary() override;
    patch::ShareCount share() const override;
    void turn_transition(patch::Universe target) override;
    void end_transition() override;
    void sweep() override;
    u64 tasks_to_move() const override;
    patch::MoveCounts moves() const override;
    void force_moves() override;
    void visit_holders(patch::HolderSink& sink) override;
    void nudge_each(u64 period_ns) override;
    void survey(const patch::Examiner& examiner, patch::SurveySink& sink) override;

    bool search_later() override;
    void prepare_search(std::span<const AddressRange> ranges) override;
    patch::SearchReport find_references(std::span<const AddressRange> ranges, patch::ReferenceSink& sink) override;

    u64 now_ns() const override;
    void set_alarm(u64 at_ns) override;
    void log(patch::LogLevel level, std::string_view text) override;
    void history_grew() override;

private:
    Mutex mutex_;
};

}  // namespace graft::kernel
