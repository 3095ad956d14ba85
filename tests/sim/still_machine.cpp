#include "tests/sim/still_machine.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

#include "base/reader.h"

namespace graft::sim {

using namespace patch;

namespace {

constexpr u64 kPage = 4096;
constexpr u64 kSlotSize = 32;
constexpr usize kLeastAlignment = 16;
constexpr usize kKeptLogLines = 64;

u64 pages(u64 size) {
    return (size + kPage - 1) & ~(kPage - 1);
}

void protect(AddressRange range, int protection) {
    if (!range.empty()) mprotect(range.begin.as<>(), range.size(), protection);
}

}  // namespace

StillMachine::StillMachine(SimImage& image) : image_(image), next_room_(image.patch_room().begin) {}

StillMachine::~StillMachine() {
    for (auto& [handle, allocation] : allocations_) {
        protect(allocation.memory.text, PROT_READ | PROT_WRITE);
        protect(allocation.memory.rodata, PROT_READ | PROT_WRITE);
    }
    // Left only after a violation, when the core's objects are given up as they are.
    for (auto& [memory, alignment] : records_) ::operator delete(memory, std::align_val_t(alignment));
}

void StillMachine::violation(std::string what) {
    violations.push_back(std::move(what));
}

bool StillMachine::fails() {
    if (fail_after_ == 0) return false;
    --fail_after_;
    if (fail_after_ == 0) has_failed_ = true;
    return fail_after_ == 0;
}

void StillMachine::lock() {
    if (locked_) violation("the registry's lock is taken twice");
    locked_ = true;
}

void StillMachine::unlock() {
    locked_ = false;
}

// ---- records and memory ---------------------------------------------------------------------------------------------

void* StillMachine::allocate(usize size, usize alignment) {
    if (fails()) return nullptr;
    if (alignment < kLeastAlignment) alignment = kLeastAlignment;
    void* memory = ::operator new(size, std::align_val_t(alignment), std::nothrow);
    if (memory == nullptr) return nullptr;
    std::memset(memory, 0xdb, size);
    records_[memory] = alignment;
    record_bytes_ += size;
    return memory;
}

void StillMachine::release(void* memory, usize size) {
    auto record = records_.find(memory);
    if (record == records_.end()) return violation("a record is released that isn't one");
    usize alignment = record->second;
    records_.erase(record);
    record_bytes_ -= size;
    ::operator delete(memory, std::align_val_t(alignment));
}

// Addresses come round again only after the whole room has been used, as in the kernel: a stale pointer shows.
VirtAddr StillMachine::take_room(u64 size) {
    if (next_room_ + size > image_.patch_room().end) next_room_ = image_.patch_room().begin;
    VirtAddr taken = next_room_;
    next_room_ += size;
    return taken;
}

MachineResult<PatchMemory> StillMachine::reserve(const MemoryRequest& request) {
    if (fails()) return graft::fail(MachineError{.what = "no address space"});
    PatchMemory memory;
    auto take = [&](u64 size) {
        if (size == 0) return AddressRange{};
        auto range = AddressRange::of(take_room(pages(size)), pages(size));
        std::memset(range.begin.as<>(), 0, range.size());
        return range;
    };
    memory.text = take(request.text_size);
    memory.rodata = take(request.rodata_size);
    memory.data = take(request.data_size);
    memory.handle = next_handle_++;
    allocations_[memory.handle] = {memory};
    return memory;
}

MachineResult<void> StillMachine::seal(const PatchMemory& memory) {
    if (fails()) return graft::fail(MachineError{.what = "no page tables"});
    allocations_[memory.handle].sealed = true;
    protect(memory.text, PROT_READ);
    protect(memory.rodata, PROT_READ);
    return {};
}

void StillMachine::release_memory(const PatchMemory& memory) {
    if (allocations_.erase(memory.handle) == 0) return violation("patch memory is released that isn't allocated");
    for (const PatchCode* code : registered_) {
        if (code->text.overlaps(memory.text)) violation("memory of registered code is released");
    }
    for (auto& [entry, target] : sites_) {
        if (memory.text.contains(target)) violation("memory is released that a call site leads to");
    }
    protect(memory.text, PROT_READ | PROT_WRITE);
    protect(memory.rodata, PROT_READ | PROT_WRITE);
}

// ---- code -----------------------------------------------------------------------------------------------------------

// A small reading of the table, enough for what PatchBuilder writes: entries, ranges inside the text, each function
// covered. The real verification is the machine's and has its own tests.
MachineResult<void> StillMachine::verify_frames(std::span<const std::byte> staged, VirtAddr at, AddressRange text,
                                                std::span<const CodeSymbol> functions) const {
    std::vector<AddressRange> covered;
    auto bad = [&](VirtAddr where, std::string_view what) {
        return graft::fail(MachineError{MachineFailure::bad_frames, where, 0, 0, what});
    };
    Reader reader(staged);
    while (!reader.at_end()) {
        u32 length = reader.read<u32>();
        if (length == 0) break;
        usize entry = reader.position();
        u32 id = reader.read<u32>();
        if (id != 0) {
            u64 place = at.value + reader.position();
            i32 delta = reader.read<i32>();
            u32 size = reader.read<u32>();
            auto range = AddressRange::of(VirtAddr(place + static_cast<u64>(i64{delta})), size);
            if (!text.contains(range)) return bad(range.begin, "a frame description claims foreign code");
            covered.push_back(range);
        }
        reader.seek(entry);
        reader.skip(length);
        if (!reader.ok()) return bad(at, "a frame description reaches past the table");
    }
    for (const CodeSymbol& function : functions) {
        bool found = false;
        for (AddressRange range : covered)
            found = found || range.contains(AddressRange::of(function.address, function.size));
        if (!found) return bad(function.address, "a function has no frame description");
    }
    return {};
}

MachineResult<void> StillMachine::register_code(const PatchCode& code) {
    if (fails()) return graft::fail(MachineError{.what = "no records"});
    registered_.insert(&code);
    return {};
}

void StillMachine::unregister_code(const PatchCode& code) {
    if (registered_.erase(&code) == 0) violation("code is unregistered that isn't registered");
    if (watched_.contains(code.text.begin)) violation("code goes in which faults are watched");
}

void StillMachine::start_callback(const patch::CallbackCall& call) {
    using Kind = patch::CallbackCall::Kind;
    if (!locked_) violation("callback started without the lock");
    if (callback_runs()) violation("a callback started while another one runs");
    const patch::PatchCode* code = call.function ? code_at(call.function) : nullptr;
    if (code == nullptr && (call.function || call.kind != Kind::end_shadow))
        violation("a callback that is nobody's code");
    std::string name = call.kind == Kind::end_shadow ? "shadow " + std::to_string(call.state) : "nobody";
    if (code != nullptr && call.kind != Kind::end_shadow) {
        for (auto& symbol : code->symbols) {
            if (symbol.address == call.function) name = std::string(code->patch_name) + " " + std::string(symbol.name);
        }
    }
    callbacks.push_back(name);
    callback_ = call;
    callback_end_.reset();
    if (!hold_callbacks) end_callback({.value = refusing_callbacks.contains(name) ? -1 : 0});
}

void StillMachine::end_callback(patch::CallbackEnd end) {
    if (callback_.kind == patch::CallbackCall::Kind::end_shadow && end.faulted) {
        --shadow_variables[callback_.state];  // in its destructor
    } else if (callback_.kind == patch::CallbackCall::Kind::end_shadow) {
        end.value = static_cast<i64>(count_shadow(callback_.state));
        shadow_variables.erase(callback_.state);
    }
    callback_end_ = end;
}

usize StillMachine::count_shadow(u64 state) {
    auto at = shadow_variables.find(state);
    return at == shadow_variables.end() ? 0 : at->second;
}

void StillMachine::call(VirtAddr function, u64 argument) {
    calls.push_back({function, argument});
    if (!image_.range().contains(function) && !is_live_text(function)) violation("code is called that isn't there");
}

void StillMachine::watch_faults(AddressRange text, bool is_watched) {
    if (!locked_) violation("faults watched without the lock");
    if (code_at(text.begin) == nullptr) violation("faults watched in what is no code");
    if (is_watched == watched_.contains(text.begin)) violation("faults watched twice, or not and not again");
    is_watched ? (void)watched_.insert(text.begin) : (void)watched_.erase(text.begin);
}

bool StillMachine::is_watched(VirtAddr code) const {
    const PatchCode* patch = code_at(code);
    return patch != nullptr && watched_.contains(patch->text.begin);
}

const PatchCode* StillMachine::code_at(VirtAddr address) const {
    for (const PatchCode* code : registered_) {
        if (code->text.contains(address)) return code;
    }
    return nullptr;
}

bool StillMachine::is_live_text(VirtAddr address) const {
    for (auto& [handle, allocation] : allocations_) {
        if (allocation.sealed && allocation.memory.text.contains(address)) return true;
    }
    return false;
}

// ---- dispatch -------------------------------------------------------------------------------------------------------

MachineResult<Trampolines> StillMachine::make_trampolines(std::span<const Dispatch> dispatches) {
    made_dispatches.assign(dispatches.begin(), dispatches.end());
    if (fails()) return graft::fail(MachineError{.what = "no trampolines"});
    Trampolines made;
    made.slot_size = kSlotSize;
    made.text = AddressRange::of(take_room(pages(dispatches.size() * kSlotSize)), dispatches.size() * kSlotSize);
    made.handle = next_handle_++;
    trampolines_[made.handle] = {made.text, {dispatches.begin(), dispatches.end()}};
    return made;
}

void StillMachine::release_trampolines(const Trampolines& trampolines) {
    for (auto& [entry, target] : sites_) {
        if (trampolines.text.contains(target)) violation("trampolines are released that a call site leads to");
    }
    if (trampolines_.erase(trampolines.handle) == 0) violation("trampolines are released twice");
}

std::optional<MachineError> StillMachine::site_failure(std::span<const SiteChange> changes) {
    if (fails()) return MachineError{MachineFailure::site_mismatch, changes[0].entry, 0xcc, 0x0f, "made to fail"};
    for (const SiteChange& change : changes) {
        if (!foreign_sites.contains(change.entry)) continue;
        return MachineError{MachineFailure::site_mismatch, change.entry, 0xcc, 0x0f, "foreign bytes"};
    }
    return std::nullopt;
}

MachineResult<void> StillMachine::write_sites(std::span<const SiteChange> changes) {
    if (auto failure = site_failure(changes)) return graft::fail(*failure);
    for (const SiteChange& change : changes) {
        if (change.target) {
            sites_[change.entry] = change.target;
        } else {
            sites_.erase(change.entry);
        }
    }
    return {};
}

VirtAddr StillMachine::site(VirtAddr entry) const {
    auto found = sites_.find(entry);
    return found == sites_.end() ? VirtAddr() : found->second;
}

// ---- measuring ------------------------------------------------------------------------------------------------------

MachineResult<void> StillMachine::prepare_measuring(std::span<const Dispatch> functions, Universe settled,
                                                    Universe new_side) {
    if (fails()) return graft::fail(MachineError{.what = "no counts"});
    for (const Dispatch& dispatch : functions) {
        if (measured_.contains(dispatch.entry)) continue;
        VirtAddr version = dispatch.version[static_cast<usize>(settled)];
        bool is_new = settled == new_side;
        measured_[dispatch.entry] = {{version, version}, {is_new, is_new}};
    }
    return {};
}

void StillMachine::measure_both(std::span<const Dispatch> functions, Universe new_side) {
    for (const Dispatch& dispatch : functions) {
        if (!measured_.contains(dispatch.entry)) return violation("a function is measured that wasn't prepared");
        measured_[dispatch.entry] = {dispatch.version, {new_side == Universe::zero, new_side == Universe::one}};
    }
}

void StillMachine::measure_one(std::span<const Dispatch> functions, Universe which, Universe new_side) {
    for (const Dispatch& dispatch : functions) {
        if (!measured_.contains(dispatch.entry)) return violation("a function is measured that wasn't prepared");
        VirtAddr version = dispatch.version[static_cast<usize>(which)];
        bool is_new = which == new_side;
        measured_[dispatch.entry] = {{version, version}, {is_new, is_new}};
    }
}

void StillMachine::stop_measuring(std::span<const Dispatch> functions) {
    for (const Dispatch& dispatch : functions) {
        if (site(dispatch.entry) == measured_site(dispatch.entry))
            violation("measuring ends where a call site leads to it");
        measured_.erase(dispatch.entry);
    }
}

MeasuredFunction StillMachine::measured(VirtAddr entry) const {
    if (!measured_.contains(entry)) return {};
    auto found = counted.find(entry);
    MeasuredFunction function = found == counted.end() ? MeasuredFunction{} : found->second;
    function.is_measured = true;
    return function;
}

// ---- transitions ----------------------------------------------------------------------------------------------------

void StillMachine::begin_transition(const Examiner& examiner, Universe target) {
    if (examiner_ != nullptr) violation("a transition begins while one runs");
    examiner_ = &examiner;
    target_ = target;
    moves_ = {};
}

void StillMachine::begin_canary(const Examiner& examiner, Universe target, const CanaryPolicy& policy) {
    if (!policy) violation("a canary without a share begins");
    canary = policy;
    StillMachine::begin_transition(examiner, target);
}

void StillMachine::promote_canary() {
    if (examiner_ == nullptr || !canary) violation("no canary is promoted");
    canary = {};
}

void StillMachine::turn_transition(Universe target) {
    if (examiner_ == nullptr || target == target_) violation("no transition turns");
    target_ = target;
}

void StillMachine::end_transition() {
    if (examiner_ == nullptr) violation("no transition ends");
    examiner_ = nullptr;
    nudge_period_ns = 0;
    canary = {};
}

SearchReport StillMachine::find_references(std::span<const AddressRange> ranges, ReferenceSink& sink) {
    for (const Reference& reference : references) {
        for (AddressRange range : ranges) {
            if (range.contains(VirtAddr(reference.word))) sink.found(reference);
        }
    }
    return {};
}

void StillMachine::log(LogLevel, std::string_view text) {
    if (log_lines.size() == kKeptLogLines) log_lines.erase(log_lines.begin());
    log_lines.emplace_back(text);
}

std::map<VirtAddr, VirtAddr> StillMachine::destinations() const {
    std::map<VirtAddr, VirtAddr> found;
    for (auto [entry, target] : sites_) {
        if (target == measured_site(entry)) target = measured_.at(entry).version.front();
        if (target != entry + patch::kCallSiteSize) found[entry] = target;
    }
    return found;
}

Ledger StillMachine::ledger() const {
    Ledger ledger;
    ledger.records = records_.size();
    ledger.record_bytes = record_bytes_;
    for (auto& [handle, allocation] : allocations_) {
        const PatchMemory& memory = allocation.memory;
        ledger.patch_bytes += memory.text.size() + memory.rodata.size() + memory.data.size();
    }
    ledger.registered = registered_.size();
    ledger.trampolines = trampolines_.size();
    ledger.measured = measured_.size();
    ledger.sites = sites_;
    ledger.in_transition = examiner_ != nullptr;
    return ledger;
}

}  // namespace graft::sim
