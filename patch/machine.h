// Machine: everything the live-patching core needs from the system below it. The kernel implements it in
// kernel/patch_machine.cpp, the tests with a simulation. patch/ sees nothing else of the machine.
//
// Words: an *entry* is the address of a function's first byte, where its call site lies; the original of a replaced
// function goes on at entry + kCallSiteSize.
//
// Locking: the core calls every method with the registry's lock held (lock(), a sleeping lock of the machine's), except
// where "Context" says otherwise. Methods may sleep unless told otherwise. The machine calls back into the core
// through Examiner only, from any processor, with interrupts off.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/types.h"
#include "formats/keys.h"
#include "patch/canary.h"

namespace graft::patch {

inline constexpr usize kCallSiteSize = 5;
inline constexpr usize kBuildIdSize = 20;  // SHA-1, as ld writes it
using BuildId = std::array<u8, kBuildIdSize>;

// Which of the two sides a task is on. A transition leads from `settled` to the other one; once it has completed, its
// target is the settled one. So nobody is ever reset, and whoever reads late reads right.
enum class Universe : u8 { zero = 0, one = 1 };
constexpr Universe other(Universe universe) {
    return universe == Universe::zero ? Universe::one : Universe::zero;
}

// Why a task's patch state was written (the flight recorder's causes).
enum class MoveCause : u8 { walk, interrupt, hook, birth, exit, force };
inline constexpr usize kMoveCauseCount = 6;
using MoveCounts = std::array<u64, kMoveCauseCount>;

// ---- stacks ---------------------------------------------------------------------------------------------------------

struct Frame {
    VirtAddr lookup_pc;    // the pc for the innermost and for interrupted frames, the return address - 1 for callers
    VirtAddr return_slot;  // where this frame's return address lies (its CFA - 8)
};

// One task's stack, innermost frame first, while that task cannot run or on its own processor. A single pass.
class Stack {
public:
    // False at the end or when the walk became unreliable; then reliable() tells which.
    [[nodiscard]] virtual bool next(Frame& frame) = 0;
    // True only when the walk has reached the task's entry frame.
    [[nodiscard]] virtual bool reliable() const = 0;

protected:
    ~Stack() = default;
};

struct Verdict {
    enum class Kind : u8 {
        clear,       // outside every changing function: the task may move
        inside,      // hook_slot holds the return address of the outermost changing frame
        unreliable,  // counts as "not yet"
    };
    Kind kind = Kind::unreliable;
    VirtAddr hook_slot{};
};

// What the machine asks of the core about one task.
class Examiner {
public:
    // Context: any processor, interrupts off, possibly under a run-queue lock. Doesn't sleep, lock or allocate.
    [[nodiscard]] virtual Verdict examine(Stack& stack) const = 0;

protected:
    ~Examiner() = default;
};

// Receives the tasks that a transition would have to wait for.
class SurveySink {
public:
    virtual void not_clear(u64 task, Verdict::Kind why) = 0;

protected:
    ~SurveySink() = default;
};

// A task that holds the running transition, as far as it is known.
struct Holder {
    u64 task = 0;
    std::string_view name;
    std::string_view function;  // its outermost changing one, or what is known instead
};

class HolderSink {
public:
    virtual void holder(const Holder& holder) = 0;

protected:
    ~HolderSink() = default;
};

inline constexpr u64 kNoAlarm = ~u64{0};

// ---- the image ------------------------------------------------------------------------------------------------------

enum class Patchability : u8 {
    patchable,
    no_call_site,  // assembly, thunk, or compiled without a site
    no_patch,      // on the computed no-patch list
};

// Most functions have one range; one compiled with split-off parts has more. Aliases are one function.
inline constexpr usize kMaxFunctionRanges = 8;

struct FunctionInfo {
    VirtAddr entry;
    std::string_view name;  // linkage name; lives as long as the image
    u32 position = 1;       // rank by address among functions of this name, from 1
    Patchability patchability = Patchability::no_call_site;
    bool has_return = true;                                 // false: contains no return instruction, an endless loop
    std::array<AddressRange, kMaxFunctionRanges> ranges{};  // in ascending order of address
    usize range_count = 0;

    std::span<const AddressRange> parts() const { return {ranges.data(), range_count}; }
};

// ---- memory for a patch ---------------------------------------------------------------------------------------------

struct MemoryRequest {
    u64 text_size = 0;
    u64 rodata_size = 0;
    u64 data_size = 0;
};

// Page-aligned areas within reach (+-2 GiB) of the image and of every other patch. An area of size 0 is empty.
struct PatchMemory {
    AddressRange text;
    AddressRange rodata;
    AddressRange data;
    u64 handle = 0;  // the machine's own; 0 = nothing allocated
};

enum class MachineFailure : u8 {
    no_memory,      // pages, address space in reach, or records
    bad_frames,     // an unwind table is malformed, claims foreign code or leaves a function uncovered
    site_mismatch,  // the bytes at a call site are not what they must be: found/expected
};

struct MachineError {
    MachineFailure failure = MachineFailure::no_memory;
    VirtAddr address{};  // the place it is about, if any
    u64 found = 0;
    u64 expected = 0;
    std::string_view what;  // a static text
};

template <typename T>
using MachineResult = Result<T, MachineError>;

// What the machine needs to name, unwind and find the code of a patch. The patch owns it all and keeps it in place from
// register_code() to unregister_code().
struct CodeSymbol {
    VirtAddr address;
    u64 size = 0;
    std::string_view name;
    std::string_view display;  // for people
};

struct PatchCode {
    std::string_view patch_name;
    AddressRange text;
    AddressRange eh_frame;                // within the patch's rodata; may be empty only if text is
    std::span<const CodeSymbol> symbols;  // functions, sorted by address
};

// ---- dispatch -------------------------------------------------------------------------------------------------------

struct Dispatch {
    VirtAddr entry;
    std::array<VirtAddr, 2> version;  // by Universe: where a task in that universe goes (entry + 5 for the original)
    bool is_measured = false;         // of a canary: its calls are counted and timed, on either side
};

// What was counted of the calls of one version of a measured function. Times are 0 while `timed` is.
struct MeasuredCalls {
    u64 calls = 0;    // begun
    u64 timed = 0;    // returned, and timed
    u64 untimed = 0;  // begun too deep in measured calls, or while their return was hooked
    u64 faults = 0;
    u64 min_ns = 0;
    u64 mean_ns = 0;
    u64 p99_ns = 0;  // 99 % took as long or less; at most 6.25 % too large
};

struct MeasuredFunction {
    bool is_measured = false;
    MeasuredCalls before;  // the version that the patch found
    MeasuredCalls after;   // the patch's
};

struct Trampolines {
    AddressRange text;  // all of the set; slot i serves dispatch i
    u64 slot_size = 0;
    u64 handle = 0;

    VirtAddr slot(usize index) const { return text.begin + index * slot_size; }
};

struct SiteChange {
    VirtAddr entry;
    VirtAddr target;  // where the live site jumps; null = the NOP comes back
};

// ---- where a patch file comes from ----------------------------------------------------------------------------------

enum class Source : u8 {
    network,  // from afar
    serial,   // over a line of this machine's own
    boot,     // brought along by the boot loader
};

// ---- what still points into a patch ---------------------------------------------------------------------------------

struct Reference {
    enum class Kind : u8 { data, heap, stack, registers, timer, interrupt_handler, task_entry, patch_data };
    Kind kind = Kind::data;
    VirtAddr place;  // address of the word
    u64 word = 0;    // its value
    u64 owner = 0;   // task id for stack, registers and task_entry, else 0
};

// What a search for references took.
struct SearchReport {
    u64 duration_ns = 0;
    u64 stopped_ns = 0;  // of that, with the processors stopped
    u32 passes = 0;      // while the system ran; 0: everything was looked through with the processors stopped
    u64 pages = 0;       // looked through, in all passes
    u64 stopped_pages = 0;
};

class ReferenceSink {
public:
    virtual void found(const Reference& reference) = 0;

protected:
    ~ReferenceSink() = default;
};

// ---- callbacks of states
// ---------------------------------------------------------------------------------------------

struct CallbackCall {
    enum class Kind : u8 {
        may_refuse,  // i32(u64): what it returns is CallbackEnd::value
        plain,       // void(u64)
        end_shadow,  // ends all shadow variables of the id, `function` for each (void(void*), or null); value: how many
    };
    Kind kind = Kind::plain;
    VirtAddr function;
    u64 state = 0;  // the id
};

struct CallbackEnd {
    i64 value = 0;
    bool faulted = false;  // it was stopped, and the fault contained
};

// ---- the machine ----------------------------------------------------------------------------------------------------

enum class LogLevel : u8 { debug, info, warning, error };

class Machine {
public:
    // -- the registry's lock, a sleeping one. Context: task. Not recursive.
    virtual void lock() = 0;
    virtual void unlock() = 0;

    // -- records: memory for the core's own objects. Never searched for references. Null when there is none.
    [[nodiscard]] virtual void* allocate(usize size, usize alignment) = 0;
    virtual void release(void* memory, usize size) = 0;

    // -- the image
    [[nodiscard]] virtual const BuildId& build_id() const = 0;
    [[nodiscard]] virtual AddressRange image() const = 0;
    // The function whose entry is exactly `entry`, or nothing.
    [[nodiscard]] virtual std::optional<FunctionInfo> function_at(VirtAddr entry) const = 0;
    // Any symbol (function, object or a place that the linker script names, static ones too) of the image at exactly
    // this address with this linkage name.
    [[nodiscard]] virtual bool has_symbol(std::string_view name, VirtAddr address) const = 0;
    // A global or weak symbol that the image defines under this linkage name.
    [[nodiscard]] virtual std::optional<VirtAddr> find_global(std::string_view name) const = 0;
    // Does a function begin there that only runs while the image boots? Its memory is given back then, so no patch may
    // know it.
    [[nodiscard]] virtual bool is_init_text(VirtAddr entry) const = 0;
    // The bytes of the image as the compiler made them where no site is live. False when the range is not in it.
    [[nodiscard]] virtual bool read_image(VirtAddr address, std::span<std::byte> bytes) const = 0;

    // -- who may vouch for a patch; constant. Context: any.
    [[nodiscard]] virtual std::span<const formats::TrustedKey> trusted_keys() const = 0;
    [[nodiscard]] virtual bool accepts_unsigned(Source source) const = 0;

    // -- memory for a patch; new memory is zeroed, writable, not executable and private to the loader
    [[nodiscard]] virtual MachineResult<PatchMemory> reserve(const MemoryRequest& request) = 0;
    // Text becomes read-execute, rodata read-only, data stays read-write; no alias of text or rodata stays writable.
    [[nodiscard]] virtual MachineResult<void> seal(const PatchMemory& memory) = 0;
    virtual void release_memory(const PatchMemory& memory) = 0;

    // -- unwinding and names of patch code
    // `staged`: the table's bytes as they will stand at `at`, relocated. Every frame description must lie inside
    // `text`, none may overlap another, and each function must be covered. Changes nothing.
    [[nodiscard]] virtual MachineResult<void> verify_frames(std::span<const std::byte> staged, VirtAddr at,
                                                            AddressRange text,
                                                            std::span<const CodeSymbol> functions) const = 0;
    // Before any of the code can run; `code` is borrowed until unregister_code(), which may be called only when none
    // runs.
    [[nodiscard]] virtual MachineResult<void> register_code(const PatchCode& code) = 0;
    virtual void unregister_code(const PatchCode& code) = 0;
    // Calls a void function of sealed, registered patch code: a constructor (which ignores the argument) or a recorded
    // destructor with its object.
    virtual void call(VirtAddr function, u64 argument) = 0;

    // Whether a fault in this text of a patch is contained: the task is stopped, and the machine's worker calls
    // Registry::report_fault(). At first it isn't.
    virtual void watch_faults(AddressRange text, bool is_watched) = 0;

    // -- callbacks: one at a time, in a task of their own, without the registry's lock. When it has returned, the
    // machine has its worker call Registry::complete(). Doesn't fail, and doesn't wait.
    virtual void start_callback(const CallbackCall& call) = 0;
    // What became of the one that was started last; nothing while it runs.
    [[nodiscard]] virtual std::optional<CallbackEnd> callback_end() = 0;
    [[nodiscard]] virtual usize count_shadow(u64 state) = 0;

    // -- dispatch
    [[nodiscard]] virtual MachineResult<Trampolines> make_trampolines(std::span<const Dispatch> dispatches) = 0;
    // Only after drain() has said so: no saved or live pc lies in them.
    virtual void release_trampolines(const Trampolines& trampolines) = 0;
    // One batch: when it returns, every processor executes the new bytes. A breakpoint hit meanwhile goes to the new
    // target, so old and new must be equivalent for every task at this moment. Fails only before the first write, when
    // the bytes found are not those this machine last wrote there (or the NOP).
    [[nodiscard]] virtual MachineResult<void> write_sites(std::span<const SiteChange> changes) = 0;
    // Moves every saved or live pc inside these trampolines forward to where the site now leads, under the lock that
    // keeps its task from running or on its own processor. True: none is left and none can come. False: a stack that
    // can't be walked at this moment holds a word like a pc in them; to be called again a little later. Doesn't wait.
    [[nodiscard]] virtual bool drain(const Trampolines& trampolines) = 0;
    // Returns when every processor has passed a point with interrupts on, outside verdicts and hooks.
    virtual void synchronise() = 0;

    // -- measuring: calls of a canary's functions are counted and timed where their sites lead to measured_site(). A
    // call goes to the version of the task's universe, as a trampoline would have it, and counts as the patch's version
    // or the one before. Times include whatever happens before the return: interrupts, preemption, sleep, measured
    // calls. A change's functions are measured all or none.
    //
    // Makes ready what isn't measured yet: calls go to the settled universe's version from either. `new_side`: the
    // universe in which the patch's versions are called.
    [[nodiscard]] virtual MachineResult<void> prepare_measuring(std::span<const Dispatch> functions, Universe settled,
                                                                Universe new_side) = 0;
    [[nodiscard]] virtual VirtAddr measured_site(VirtAddr entry) const = 0;
    // From now on each universe has its version. No task may be where that makes a difference.
    virtual void measure_both(std::span<const Dispatch> functions, Universe new_side) = 0;
    // From now on either universe has the version of `which`. No task may be in the other one.
    virtual void measure_one(std::span<const Dispatch> functions, Universe which, Universe new_side) = 0;
    // Forgets what was counted, of those that are measured. No site leads to measuring any more.
    virtual void stop_measuring(std::span<const Dispatch> functions) = 0;
    [[nodiscard]] virtual MeasuredFunction measured(VirtAddr entry) const = 0;

    // -- tasks
    // From here on moves are possible: births, hooks and checks ask `examiner`, and whoever is clear gets `target`. All
    // tasks are in other(target) now.
    virtual void begin_transition(const Examiner& examiner, Universe target) = 0;
    // The same, but the task is to move only if it belongs to the share, which is chosen now and, for each newborn, at
    // its birth. While the target is the same as now, who doesn't belong to it counts as being in the right place:
    // nobody examines, hooks or moves it. In the other direction, everybody is to be in the target.
    virtual void begin_canary(const Examiner& examiner, Universe target, const CanaryPolicy& policy) = 0;
    // From now on everybody is to move. Returns synchronised; the caller sweeps next.
    virtual void promote_canary() = 0;
    // Of the last canary, until the next transition begins. Context: task.
    [[nodiscard]] virtual ShareCount share() const = 0;
    // Reverse: the target is the other one. Returns synchronised; the caller sweeps next.
    virtual void turn_transition(Universe target) = 0;
    // All tasks are in the target. Takes off what hooks remain; the examiner is not used any more when it returns.
    virtual void end_transition() = 0;
    // Examines every task that is to be in the target and isn't: moves it, hooks it, or marks it to be examined when it
    // next stops running. Takes hooks off tasks that are in the target. A task running elsewhere is interrupted and
    // examined there. Returns when each task that existed at its start was examined once.
    virtual void sweep() = 0;
    // Whenever this becomes 0 by a move, or is 0 at the end of a sweep, the machine has its worker call
    // Registry::complete().
    // Context: any. Tasks, idle tasks included, that are to be in the target and aren't.
    [[nodiscard]] virtual u64 tasks_to_move() const = 0;
    // Since begin_transition().
    [[nodiscard]] virtual MoveCounts moves() const = 0;

    // Every task that is to be in the target gets it, whatever it is in, and loses its hook. Tasks go on where they
    // are. One that is born meanwhile may be left: it moves when it first runs.
    virtual void force_moves() = 0;
    // The tasks that are to be in the target and aren't.
    virtual void visit_holders(HolderSink& sink) = 0;

    // Examines every task as sweep() does and reports those that aren't clear; changes nothing. Only while no
    // transition runs.
    virtual void survey(const Examiner& examiner, SurveySink& sink) = 0;

    // Tasks that hold the running transition in waits that may end early are made to return from them, each
    // `period_ns`, first after that time; until end_transition(). Only while a transition runs.
    virtual void nudge_each(u64 period_ns) = 0;

    // -- freeing: every live writable word of the system, saved registers included, that points into one of `ranges`;
    //    not free memory, not the core's own records, and neither stack nor registers of the calling task, whose frames
    //    are the core's. Words in patches' data are told, too, whosever they are. One search at a time, for which the
    //    core sees.
    //
    // A search became due. True: a task of the machine's will call Registry::retry_lingering(); false: there is none,
    // and whoever has asked searches now.
    [[nodiscard]] virtual bool search_later() = 0;
    // Looks through all memory while the system runs, so that find_references() for the same ranges has little left.
    // Context: task, *without* the registry's lock; may take long.
    virtual void prepare_search(std::span<const AddressRange> ranges) = 0;
    // Processors are stopped meanwhile.
    virtual SearchReport find_references(std::span<const AddressRange> ranges, ReferenceSink& sink) = 0;

    // -- time and log
    [[nodiscard]] virtual u64 now_ns() const = 0;
    // Has the machine's worker call Registry::tick() at this time, in place of what was asked for before; kNoAlarm:
    // not at all.
    virtual void set_alarm(u64 at_ns) = 0;
    virtual void log(LogLevel level, std::string_view text) = 0;
    // A record was added to the history: wakes whoever reads on.
    virtual void history_grew() = 0;

protected:
    ~Machine() = default;
};

}  // namespace graft::patch
