#include <cstring>

#include "arch/x86_64/percpu.h"
#include "arch/x86_64/poke.h"
#include "arch/x86_64/pure/trampoline.h"
#include "arch/x86_64/sync.h"
#include "kernel/call_site_table.h"
#include "kernel/code_map.h"
#include "kernel/measuring.h"
#include "kernel/memory.h"
#include "kernel/patch_machine.h"
#include "kernel/patch_memory.h"
#include "kernel/task_visit.h"
#include "kernel/task_walk.h"

namespace graft::kernel {

namespace {

static_assert(patch::kCallSiteSize == arch::kSiteSize);

// A set of trampolines; in the records heap, the entries behind it.
struct TrampolineSet {
    patch::PatchMemory memory;
    usize count = 0;

    VirtAddr* entries() { return reinterpret_cast<VirtAddr*>(this + 1); }
};

patch::MachineError no_memory(std::string_view what) {
    return {patch::MachineFailure::no_memory, {}, 0, 0, what};
}

patch::MachineResult<void> fill(TrampolineSet& set, std::span<const patch::Dispatch> dispatches) {
    for (usize i = 0; i < dispatches.size(); ++i) {
        const patch::Dispatch& dispatch = dispatches[i];
        VirtAddr at = set.memory.text.begin + i * arch::kTrampolineSlot;
        auto encoded =
            arch::encode_trampoline(at, arch::kPerCpuPatchState, dispatch.version[0], dispatch.version[1],
                                    std::span<u8, arch::kTrampolineSlot>(at.as<u8>(), arch::kTrampolineSlot));
        if (!encoded) return fail(no_memory("a trampoline reaches only 2 GiB"));
        set.entries()[i] = dispatch.entry;
    }
    return {};
}

TrampolineSet* make_set(usize count) {
    auto size = checked_mul<u64>(count, sizeof(VirtAddr));
    if (!size) return nullptr;
    void* memory = records_allocate(sizeof(TrampolineSet) + *size, 16);
    if (!memory) return nullptr;
    auto* set = new (memory) TrampolineSet;
    set->count = count;
    return set;
}

// Moves pcs inside a set of trampolines on to where their sites lead now. Nothing was done in a trampoline that anybody
// could see, and the flags it changed are free at a function's entry.
class Drain final : public TaskVisitor {
public:
    Drain(AddressRange text, TrampolineSet& set) : text_(text), set_(set) {}

    u32 visit(Task& task, arch::InterruptFrame* frame) override {
        if (task.state == TaskState::exited) return 0;
        // Whoever stopped in a call of its own has no interrupt's frame on its stack, and so no pc that could be in a
        // trampoline: trampolines call nothing.
        if (!frame && !task.preempted) return 0;
        if (frame && text_.contains(VirtAddr(frame->rip))) frame->rip = target_of(VirtAddr(frame->rip)).value;
        TaskWalk walk(task, frame);
        arch::Frame found;
        while (walk.next(found)) {
            if (!found.saved_rip_slot || !text_.contains(found.pc)) continue;
            *found.saved_rip_slot.as<u64>() = target_of(found.pc).value;
        }
        if (!walk.complete() && may_hold_pc(task, frame)) unsure_ = true;
        return 0;
    }

    bool unsure() const { return unsure_; }

private:
    VirtAddr target_of(VirtAddr pc) {
        usize index = (pc - text_.begin) / arch::kTrampolineSlot;
        return current_target(set_.entries()[index]);
    }

    // A stack that can't be walked may hold a pc anywhere in its used part.
    bool may_hold_pc(const Task& task, const arch::InterruptFrame* frame) const {
        VirtAddr place = (frame ? VirtAddr(frame) : VirtAddr(task.context.rsp)).align_up(sizeof(u64));
        for (; place + sizeof(u64) <= task.stack.end; place += sizeof(u64)) {
            if (text_.contains(VirtAddr(*place.as<const volatile u64>()))) return true;
        }
        return false;
    }

    AddressRange text_;
    TrampolineSet& set_;
    bool unsure_ = false;
};

patch::MachineError error_of(const arch::SiteWriteError& error) {
    switch (error.failure) {
        case arch::SiteWriteFailure::unknown_site:
            return {patch::MachineFailure::site_mismatch, error.entry, error.found, error.expected,
                    "no call site begins there"};
        case arch::SiteWriteFailure::found_foreign:
            return {patch::MachineFailure::site_mismatch, error.entry, error.found, error.expected,
                    "the call site holds bytes that were not written here"};
        case arch::SiteWriteFailure::out_of_reach:
            break;
    }
    return {patch::MachineFailure::no_memory, error.entry, error.found, error.expected, "a jump reaches only 2 GiB"};
}

}  // namespace

patch::MachineResult<patch::Trampolines> PatchMachine::make_trampolines(std::span<const patch::Dispatch> dispatches) {
    TrampolineSet* set = make_set(dispatches.size());
    if (!set) return fail(no_memory("a record of the trampolines"));
    patch::MemoryRequest request;
    request.text_size = dispatches.size() * arch::kTrampolineSlot;
    auto memory = reserve_patch_memory(request);
    if (!memory) {
        records_release(set);
        return std::unexpected(memory.error());
    }
    set->memory = *memory;
    AddressRange text = AddressRange::of(memory->text.begin, request.text_size);
    auto made = fill(*set, dispatches);
    if (made) made = seal_patch_memory(*memory);
    if (made && !add_trampoline_code(text)) made = fail(no_memory("a record of the trampolines' code"));
    if (!made) {
        release_patch_memory(*memory);
        records_release(set);
        return std::unexpected(made.error());
    }
    return patch::Trampolines{text, arch::kTrampolineSlot, reinterpret_cast<u64>(set)};
}

void PatchMachine::release_trampolines(const patch::Trampolines& trampolines) {
    auto* set = reinterpret_cast<TrampolineSet*>(trampolines.handle);
    remove_code(trampolines.text);
    release_patch_memory(set->memory);
    records_release(set);
}

patch::MachineResult<void> PatchMachine::write_sites(std::span<const patch::SiteChange> changes) {
    if (changes.empty()) return {};
    auto* writes = static_cast<arch::SiteWrite*>(records_allocate(changes.size() * sizeof(arch::SiteWrite), 16));
    if (!writes) return fail(no_memory("a batch of text writes"));
    for (usize i = 0; i < changes.size(); ++i) new (&writes[i]) arch::SiteWrite{changes[i].entry, changes[i].target};
    auto written = arch::write_sites({writes, changes.size()});
    records_release(writes);
    if (!written) return fail(error_of(written.error()));
    return {};
}

bool PatchMachine::drain(const patch::Trampolines& trampolines) {
    Drain drain(trampolines.text, *reinterpret_cast<TrampolineSet*>(trampolines.handle));
    visit_all_tasks(drain);
    return !drain.unsure();
}

void PatchMachine::synchronise() {
    arch::synchronise_processors();
}

patch::MachineResult<void> PatchMachine::prepare_measuring(std::span<const patch::Dispatch> functions,
                                                           patch::Universe settled, patch::Universe new_side) {
    return kernel::prepare_measuring(functions, settled, new_side);
}
VirtAddr PatchMachine::measured_site(VirtAddr entry) const {
    return gate_of(entry);
}
void PatchMachine::measure_both(std::span<const patch::Dispatch> functions, patch::Universe new_side) {
    kernel::measure_both(functions, new_side);
}
void PatchMachine::measure_one(std::span<const patch::Dispatch> functions, patch::Universe which,
                               patch::Universe new_side) {
    kernel::measure_one(functions, which, new_side);
}
void PatchMachine::stop_measuring(std::span<const patch::Dispatch> functions) {
    kernel::stop_measuring(functions);
}
patch::MeasuredFunction PatchMachine::measured(VirtAddr entry) const {
    return kernel::measured(entry);
}

}  // namespace graft::kernel
