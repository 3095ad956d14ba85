// The walker against a shadow call stack: code compiled as the image is runs with the trap flag set, and before every
// single instruction the walk must give exactly the frames that the calls and returns seen so far have made.
// Interrupts, preemption, return hooks and trampolines happen at random instructions meanwhile.
#include <asm/prctl.h>
#include <gtest/gtest.h>
#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "arch/x86_64/pure/trampoline.h"
#include "arch/x86_64/pure/unwind.h"
#include "tests/unit/arch_stepped_code.h"

namespace graft::arch {
namespace {

constexpr usize kStackSize = 128 << 10;
constexpr u64 kTrapFlag = 0x100;
constexpr u64 kUserCode = 0x33;  // selectors of a 64-bit Linux process
constexpr u64 kUserStack = 0x2b;

// The tables of the running program, found as a debugger would. Only entries of stepped code are ever parsed: the rest
// of the program has exception tables, which the parser refuses.
class ProcessCode final : public CodeMap {
public:
    ProcessCode() {
        dl_iterate_phdr(
            [](dl_phdr_info* info, size_t, void* self) {
                static_cast<ProcessCode*>(self)->read(*info);
                return 1;  // the first object is the program itself
            },
            this);
    }

    std::optional<FdeView> find(VirtAddr pc) const override {
        usize low = 0;
        usize high = count_;
        while (low < high) {
            usize middle = (low + high) / 2;
            if (header_ + static_cast<u64>(i64{pairs_[2 * middle]}) > pc)
                high = middle;
            else
                low = middle + 1;
        }
        if (low == 0) return std::nullopt;
        VirtAddr fde = header_ + static_cast<u64>(i64{pairs_[2 * (low - 1) + 1]});
        auto view = parse_fde(table_, static_cast<u32>(fde - table_.at));
        return view ? std::optional(*view) : std::nullopt;
    }
    bool is_text(VirtAddr pc) const override { return text_.contains(pc); }
    KnownFrame known_frame(VirtAddr pc) const override {
        if (pc >= VirtAddr(stepped_task_entry) && pc < VirtAddr(stepped_task_entry_end)) return KnownFrame::task_entry;
        if (pc >= VirtAddr(stepped_hook) && pc < VirtAddr(stepped_hook_end)) return KnownFrame::return_hook;
        if (trampoline.contains(pc)) return KnownFrame::trampoline;
        return KnownFrame::none;
    }
    VirtAddr return_hook() const override { return VirtAddr(stepped_hook); }
    std::span<const std::byte> text_before(VirtAddr pc, usize count) const override {
        if (!text_.contains(pc - 1)) return {};
        return {VirtAddr(pc - count).as<const std::byte>(), count};
    }

    AddressRange trampoline;

private:
    void read(const dl_phdr_info& info) {
        for (int i = 0; i < info.dlpi_phnum; ++i) {
            const auto& segment = info.dlpi_phdr[i];
            VirtAddr begin(info.dlpi_addr + segment.p_vaddr);
            if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X)) text_ = AddressRange::of(begin, segment.p_memsz);
            if (segment.p_type == PT_GNU_EH_FRAME) header_ = begin;
        }
        // version, encodings 0x1b 0x03 0x3b, pointer to the table, count, pairs [lsb §10.6.2]
        const auto* fields = header_.as<const i32>();
        table_.at = header_ + 4 + static_cast<u64>(i64{fields[1]});
        table_.bytes = {table_.at.as<const std::byte>(), kMaxTableSize};
        count_ = static_cast<usize>(fields[2]);
        pairs_ = fields + 3;
    }

    AddressRange text_;
    VirtAddr header_;
    FrameTable table_;
    const i32* pairs_ = nullptr;
    usize count_ = 0;
};

struct ShadowFrame {
    enum class Kind { call, interrupt } kind;
    VirtAddr slot;  // of the return address or of the saved rip
    VirtAddr pc;    // what it returns to
};

struct TaskStack {
    AddressRange range;
    std::vector<ShadowFrame> shadow;  // outermost first
    StackSegments segments;
};

// A stack as it was, for flipping bits in.
class SnapshotReader final : public StackReader {
public:
    SnapshotReader(VirtAddr begin, VirtAddr end) : begin_(begin), words_((end - begin) / 8) {
        std::memcpy(words_.data(), begin.as<void>(), words_.size() * 8);
    }
    u64 read(VirtAddr slot) const override { return words_[(slot - begin_) / 8]; }
    usize bits() const { return words_.size() * 64; }
    void flip(usize bit) { words_[bit / 64] ^= u64{1} << (bit % 64); }

private:
    VirtAddr begin_;
    std::vector<u64> words_;
};

class Stepper {
public:
    explicit Stepper(u64 seed) : random(seed) {
        for (int i = 0; i < 2; ++i) {
            void* memory = mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            tasks[i].range = AddressRange::of(VirtAddr(memory), kStackSize);
            tasks[i].segments = StackSegments::of_task(tasks[i].range, tasks[i].range.end);
        }
        make_trampoline();
    }
    ~Stepper() {
        for (auto& task : tasks) munmap(task.range.begin.as<void>(), kStackSize);
        munmap(code.trampoline.begin.as<void>(), kTrampolineSlot);
    }

    void run(u64 rounds) {
        stepped_hook_slot = stepped_interrupts = stepped_hooks_fired = 0;
        stepped_current = 0;
        stepped_interrupts_off = false;
        stepped_saved_rsp[1] = stepped_prepare(tasks[1].range.end.as<void>(), stepped_second);
        tasks[1].shadow = {{ShadowFrame::Kind::call, tasks[1].range.end - 8, VirtAddr(stepped_task_entry)}};

        std::vector<char> signal_stack(256 << 10);
        stack_t alternate{.ss_sp = signal_stack.data(), .ss_flags = 0, .ss_size = signal_stack.size()};
        stack_t old_alternate;
        struct sigaction action{};
        struct sigaction old_action;
        action.sa_sigaction = [](int, siginfo_t*, void* context) { current->step(*static_cast<ucontext_t*>(context)); };
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaltstack(&alternate, &old_alternate);
        sigaction(SIGTRAP, &action, &old_action);
        current = this;
        stepped_run(stepped_first, tasks[0].range.end.as<void>(), rounds);
        current = nullptr;
        sigaction(SIGTRAP, &old_action, nullptr);
        sigaltstack(&old_alternate, nullptr);
    }

    u64 steps = 0, differences = 0, frames = 0, walks_of_others = 0, in_trampoline = 0, at_hook_entry = 0, hooks = 0,
        taken_off = 0;
    u64 flips = 0, flips_refused = 0, flips_unnoticed = 0;
    std::string first_difference;

private:
    void make_trampoline() {
        void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        // The program may be far from what mmap gives: a page in reach of it is asked for.
        munmap(page, 4096);
        VirtAddr near = VirtAddr(reinterpret_cast<const void*>(stepped_version_zero)).align_down(4096) + (512u << 20);
        page = mmap(near.as<void>(), 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                    -1, 0);
        code.trampoline = AddressRange::of(VirtAddr(page), kTrampolineSlot);
        auto encoded =
            encode_trampoline(VirtAddr(page), 0, VirtAddr(reinterpret_cast<const void*>(stepped_version_zero)),
                              VirtAddr(reinterpret_cast<const void*>(stepped_version_one)),
                              std::span<u8, kTrampolineSlot>(static_cast<u8*>(page), kTrampolineSlot));
        ASSERT_TRUE(encoded);
        mprotect(page, 4096, PROT_READ | PROT_EXEC);
        stepped_trampoline = reinterpret_cast<u64 (*)(u64)>(page);
        syscall(SYS_arch_prctl, ARCH_SET_GS, &patch_state);
    }

    TaskStack* task_at(u64 rsp) {
        for (auto& task : tasks)
            if (VirtAddr(rsp) > task.range.begin && VirtAddr(rsp) <= task.range.end) return &task;
        return nullptr;
    }

    // Before each instruction.
    void step(ucontext_t& context) {
        auto& registers = context.uc_mcontext.gregs;
        auto rip = static_cast<u64>(registers[REG_RIP]);
        auto rsp = static_cast<u64>(registers[REG_RSP]);
        TaskStack* task = task_at(rsp);
        finish_previous(task, rsp);
        if (!task || is_on_the_way(VirtAddr(rip))) return;
        if (random() % 97 == 0) interrupt(context, *task);
        rip = static_cast<u64>(registers[REG_RIP]);
        rsp = static_cast<u64>(registers[REG_RSP]);
        ++steps;
        if (steps % 64 == 0) patch_state ^= 1;
        // Where interrupts write, nothing may be expected to last.
        std::memset(reinterpret_cast<void*>(rsp - 512), 0xa5, 512);
        if (!stepped_hook_slot && random() % 131 == 0) hook(*task, VirtAddr(rip));
        if (stepped_hook_slot && random() % 1009 == 0) take_off_hook();
        Registers machine = all_of(context);
        compare(*task, machine);
        if (code.trampoline.contains(VirtAddr(rip))) ++in_trampoline;
        if (VirtAddr(rip) == VirtAddr(stepped_hook)) ++at_hook_entry;
        if (steps % 16 == 0) compare_other(*task);
        if (steps % 8 == 0) flip_bits(*task, machine);
        remember(rip, rsp);
    }

    // Between the host's stack and the entry frame, in either direction.
    static bool is_on_the_way(VirtAddr pc) {
        return (pc >= VirtAddr(reinterpret_cast<const void*>(stepped_run)) && pc < VirtAddr(stepped_task_entry)) ||
               pc == VirtAddr(stepped_task_entry_end);
    }

    static Registers all_of(const ucontext_t& context) {
        auto& values = context.uc_mcontext.gregs;
        Registers registers;
        auto set = [&](Register which, int index) { registers.set(which, static_cast<u64>(values[index])); };
        set(Register::rbx, REG_RBX);
        set(Register::rbp, REG_RBP);
        set(Register::r10, REG_R10);
        set(Register::r12, REG_R12);
        set(Register::r13, REG_R13);
        set(Register::r14, REG_R14);
        set(Register::r15, REG_R15);
        set(Register::rsp, REG_RSP);
        set(Register::rip, REG_RIP);
        return registers;
    }

    enum class Pending { none, call, ret, iret };

    void remember(u64 rip, u64 rsp) {
        const auto* bytes = reinterpret_cast<const u8*>(rip);
        previous_rsp_ = rsp;
        pending_ = Pending::none;
        if (bytes[0] == 0x48 && bytes[1] == 0xcf) pending_ = Pending::iret;
        if ((bytes[0] & 0xf0) == 0x40) ++bytes;
        if (bytes[0] == 0xe8 || (bytes[0] == 0xff && ((bytes[1] >> 3) & 7) == 2)) pending_ = Pending::call;
        if (bytes[0] == 0xc3) pending_ = Pending::ret;
    }

    // What the instruction before this one has done to the shadow stack.
    void finish_previous(TaskStack* task, u64 rsp) {
        Pending pending = pending_;
        pending_ = Pending::none;
        if (pending == Pending::none) return;
        if (pending == Pending::call) {
            task->shadow.push_back({ShadowFrame::Kind::call, VirtAddr(rsp), VirtAddr(*reinterpret_cast<u64*>(rsp))});
            return;
        }
        TaskStack* before = task_at(previous_rsp_);
        if (!before || before->shadow.empty()) return differ("return without a call", *before);
        ShadowFrame top = before->shadow.back();
        if (top.slot != VirtAddr(previous_rsp_)) differ("return from another slot", *before);
        // A hooked return goes to the hook, which will push the original where it was.
        bool hooked = pending == Pending::ret && top.slot == VirtAddr(stepped_hook_slot) && !hook_fired_;
        if (hooked)
            hook_fired_ = true;
        else
            before->shadow.pop_back();
    }

    void interrupt(ucontext_t& context, TaskStack& task) {
        auto& registers = context.uc_mcontext.gregs;
        auto rip = VirtAddr(static_cast<u64>(registers[REG_RIP]));
        auto rsp = static_cast<u64>(registers[REG_RSP]);
        // Interrupts are off in handlers and switches, in the switch's assembly and in the entry frame's code.
        if (stepped_interrupts_off || code.known_frame(rip) == KnownFrame::task_entry) return;
        if (rip >= VirtAddr(stepped_interrupt) && rip < VirtAddr(stepped_hook)) return;
        auto* frame = reinterpret_cast<u64*>(rsp & ~u64{15});
        *--frame = kUserStack;
        *--frame = rsp;
        *--frame = static_cast<u64>(registers[REG_EFL]) | kTrapFlag;
        *--frame = kUserCode;
        *--frame = rip.value;
        registers[REG_RSP] = reinterpret_cast<greg_t>(frame);
        registers[REG_RIP] = reinterpret_cast<greg_t>(stepped_interrupt);
        task.shadow.push_back({ShadowFrame::Kind::interrupt, VirtAddr(frame), rip});
    }

    void hook(TaskStack& task, VirtAddr rip) {
        if (task.shadow.size() < 2 || code.known_frame(rip) == KnownFrame::return_hook) return;
        // Not the outermost: the entry frame's own return is never hooked.
        usize depth = 1 + random() % std::min<usize>(task.shadow.size() - 1, 6);
        const ShadowFrame& frame = task.shadow[task.shadow.size() - depth];
        if (frame.kind != ShadowFrame::Kind::call || code.known_frame(frame.pc) != KnownFrame::none) return;
        if (frame.pc >= VirtAddr(stepped_hook) && frame.pc < VirtAddr(stepped_hook_end)) return;
        stepped_hook_original = frame.pc.value;
        stepped_hook_slot = frame.slot.value;
        *frame.slot.as<u64>() = reinterpret_cast<u64>(stepped_hook);
        hook_fired_ = false;
        ++hooks;
    }

    void take_off_hook() {
        u64* slot = VirtAddr(stepped_hook_slot).as<u64>();
        if (hook_fired_ || *slot != reinterpret_cast<u64>(stepped_hook)) return;
        *slot = stepped_hook_original;
        stepped_hook_slot = 0;
        ++taken_off;
    }

    HookRecord record_of(const TaskStack& task) const {
        if (!task.range.contains(VirtAddr(stepped_hook_slot))) return {};
        return {VirtAddr(stepped_hook_slot), VirtAddr(stepped_hook_original)};
    }

    void compare(TaskStack& task, const Registers& registers) {
        DirectStackReader memory;
        // Every other walk finds most of its rows as the ones before left them.
        Walker walker(code, memory, task.segments, registers, record_of(task), true, steps % 2 ? &cache : nullptr);
        VirtAddr pc(registers.get(Register::rip));
        bool interrupted = true;
        VirtAddr saved_slot;
        usize left = task.shadow.size();
        // The entry frame has not been called yet, or has been returned to.
        if (left == 0 && code.known_frame(pc) != KnownFrame::task_entry) return differ("shadow empty", task);
        Frame frame;
        while (walker.next(frame)) {
            ++frames;
            if (frame.pc != pc || frame.interrupted != interrupted || frame.saved_rip_slot != saved_slot)
                return differ("frame", task, &frame, pc);
            if (left == 0) break;
            const ShadowFrame& expected = task.shadow[--left];
            bool call = expected.kind == ShadowFrame::Kind::call;
            bool slot_is_gone = hook_fired_ && pc == VirtAddr(stepped_hook) && frame.interrupted;
            VirtAddr slot = call && !slot_is_gone ? expected.slot : VirtAddr();
            if (frame.return_slot != slot) return differ("slot", task, &frame, slot);
            saved_slot = call ? VirtAddr() : expected.slot;
            interrupted = !call;
            pc = expected.pc;
        }
        if (!walker.complete()) return differ(std::string(name_of(walker.why())), task, &frame, walker.pc());
        if (left != 0) differ("walk too short", task);
    }

    void compare_other(TaskStack& task) {
        usize index = &task == &tasks[0] ? 1 : 0;
        // While the switch itself runs, both stacks are in between.
        if (stepped_current == index) return;
        ++walks_of_others;
        compare(tasks[index],
                Registers::switched_out(VirtAddr(stepped_switch_resume), VirtAddr(stepped_saved_rsp[index])));
    }

    void flip_bits(TaskStack& task, const Registers& registers) {
        VirtAddr begin = VirtAddr(registers.get(Register::rsp)).align_down(8);
        if (task.range.end - begin < 64) return;
        SnapshotReader snapshot(begin, task.range.end);
        snapshot.flip(random() % snapshot.bits());
        DirectStackReader memory;
        Walker good(code, memory, task.segments, registers, record_of(task), true);
        Walker bad(code, snapshot, task.segments, registers, record_of(task), true);
        bool same = true;
        Frame expected, frame;
        while (bad.next(frame)) same &= good.next(expected) && frame.pc == expected.pc && frame.cfa == expected.cfa;
        same &= !good.next(expected);
        ++flips;
        if (!bad.complete())
            ++flips_refused;
        else if (!same)
            ++flips_unnoticed;
    }

    void differ(const std::string& what, const TaskStack& task, const Frame* frame = nullptr, VirtAddr expected = {}) {
        if (differences++ != 0) return;
        char text[300];
        snprintf(text, sizeof(text),
                 "step %llu: %s; pc %#llx slot %#llx cfa %#llx, expected %#llx; depth %zu; code at %p",
                 static_cast<unsigned long long>(steps), what.c_str(),
                 static_cast<unsigned long long>(frame ? frame->pc.value : 0),
                 static_cast<unsigned long long>(frame ? frame->return_slot.value : 0),
                 static_cast<unsigned long long>(frame ? frame->cfa.value : 0),
                 static_cast<unsigned long long>(expected.value), task.shadow.size(),
                 reinterpret_cast<const void*>(stepped_run));
        first_difference = text;
    }

    static Stepper* current;

    ProcessCode code;
    RowCache cache;
    TaskStack tasks[2];
    std::mt19937_64 random;
    u64 patch_state = 0;
    Pending pending_ = Pending::none;
    u64 previous_rsp_ = 0;
    bool hook_fired_ = false;
};

Stepper* Stepper::current = nullptr;

TEST(ArchStepping, EveryInstructionAgreesWithTheShadowStack) {
    Stepper stepper(0x5eed);
    stepper.run(30);
    EXPECT_EQ(stepper.differences, 0u) << stepper.first_difference;
    EXPECT_GT(stepper.steps, 50'000u);
    EXPECT_GT(stepper.walks_of_others, 1'000u);
    EXPECT_GT(stepper.in_trampoline, 30u);
    EXPECT_GT(stepper.at_hook_entry, 20u);
    EXPECT_GT(stepper.taken_off, 10u);
    EXPECT_GT(stepped_interrupts, 200u);
    std::printf(
        "stepping: steps=%llu frames=%llu interrupts=%llu hooks=%llu fired=%llu flips=%llu refused=%llu "
        "unnoticed=%llu\n",
        static_cast<unsigned long long>(stepper.steps), static_cast<unsigned long long>(stepper.frames),
        static_cast<unsigned long long>(stepped_interrupts), static_cast<unsigned long long>(stepper.hooks),
        static_cast<unsigned long long>(stepped_hooks_fired), static_cast<unsigned long long>(stepper.flips),
        static_cast<unsigned long long>(stepper.flips_refused),
        static_cast<unsigned long long>(stepper.flips_unnoticed));
}

}  // namespace
}  // namespace graft::arch
