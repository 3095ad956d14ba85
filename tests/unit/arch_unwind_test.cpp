// The walker on a small world made by hand: a task's entry frame calls `outer`, that calls `inner`. Each test breaks
// one thing and expects the one reason.
#include "arch/x86_64/pure/unwind.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/frame_builder.h"

namespace graft::arch {
namespace {

constexpr VirtAddr kText{0xffffffff80200000};
constexpr u64 kTextSize = 0x1000;
constexpr VirtAddr kInner{0xffffffff80200100};
constexpr VirtAddr kOuter{0xffffffff80200200};
constexpr VirtAddr kBare{0xffffffff80200300};  // text without frame information
constexpr VirtAddr kBroken{0xffffffff80200400};
constexpr VirtAddr kLost{0xffffffff80200500};          // its return address is in no known place
constexpr VirtAddr kFramePointer{0xffffffff80200600};  // frame address from r10 throughout
constexpr VirtAddr kOdd{0xffffffff80200700};           // its return address isn't just below its frame address
constexpr VirtAddr kTaskEntry{0xffffffff80200800};
constexpr VirtAddr kHook{0xffffffff80200900};
constexpr VirtAddr kTrampoline{0xffffffff80200a00};
constexpr VirtAddr kMeasured{0xffffffff80200c00};
constexpr VirtAddr kInterrupt{0xffffffff80200b00};
constexpr u64 kFunctionSize = 0x40;

constexpr AddressRange kTaskStack{VirtAddr(0xffff800000010000), VirtAddr(0xffff800000011000)};
constexpr AddressRange kExceptionStack{VirtAddr(0xffff800000020000), VirtAddr(0xffff800000021000)};
constexpr VirtAddr kTop{0xffff800000010ff0};

class World final : public CodeMap, public StackReader {
public:
    World() : text_(kTextSize, 0x90), builder_(VirtAddr(0xffffffff80400000)) {
        // push %rbp; mov %rsp,%rbp; …; leave; ret
        const std::vector<u8> framed = {0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x02, 0x3b, 0x0c, 7, 8};
        builder_.cie();
        add(kInner, framed);
        add(kOuter, framed);
        add(kBroken, {0x1f});
        add(kLost, {0x07, 16});
        add(kOdd, {0x0e, 16, 0x90, 2});
        add(kFramePointer, {0x0c, 10, 0});
        add(kHook, {0x0e, 0, 0x46, 0x0e, 8, 0x41, 0x0e, 16});
        add(kMeasured, {0x0e, 0, 0x44, 0x0e, 8, 0x41, 0x0e, 16});
        // Five words by the processor, then rbx and r10.
        builder_.cie({.augmentation = "zRS", .program = {0x0c, 7, 40, 0x90, 5, 0x87, 2}});
        add(kInterrupt, {0x41, 0x0e, 48, 0x83, 6, 0x41, 0x0e, 56, 0x8a, 7});
        call_before(kTaskEntry + 5);
        call_before(kOuter + 0x20);
        call_before(kInterrupt + 0x20);
        call_before(kFramePointer + 0x20);
        segments = StackSegments::of_task(kTaskStack, kTop);

        set(kTop - 8, (kTaskEntry + 5).value);
        set(kTop - 16, 0);                      // outer's saved rbp
        set(kTop - 40, (kOuter + 0x20).value);  // after two words of outer's locals
        set(kTop - 48, (kTop - 16).value);      // inner's saved rbp
        registers = Registers::switched_out(kInner + 0x10, kTop - 48);
        registers.set(Register::rbp, (kTop - 48).value);
    }

    std::optional<FdeView> find(VirtAddr pc) const override {
        for (u32 offset : fdes_) {
            auto fde = parse_fde(builder_.table(), offset);
            if (fde && fde->range.contains(pc)) return *fde;
        }
        return std::nullopt;
    }
    bool is_text(VirtAddr pc) const override { return AddressRange::of(kText, kTextSize).contains(pc); }
    KnownFrame known_frame(VirtAddr pc) const override {
        if (AddressRange::of(kTaskEntry, 0x10).contains(pc)) return KnownFrame::task_entry;
        if (AddressRange::of(kHook, kFunctionSize).contains(pc)) return KnownFrame::return_hook;
        if (AddressRange::of(kMeasured, kFunctionSize).contains(pc)) return KnownFrame::measured_return;
        if (AddressRange::of(kTrampoline, 32).contains(pc)) return KnownFrame::trampoline;
        return KnownFrame::none;
    }
    VirtAddr return_hook() const override { return kHook; }
    VirtAddr measured_return() const override { return kMeasured; }
    std::span<const std::byte> text_before(VirtAddr pc, usize count) const override {
        if (!is_text(pc - 1)) return {};
        usize end = pc - kText;
        usize begin = end > count ? end - count : 0;
        return std::as_bytes(std::span(text_)).subspan(begin, end - begin);
    }
    u64 read(VirtAddr slot) const override {
        bool inside = false;
        for (usize i = 0; i < segments.count; ++i)
            inside |= segments.ranges[i].contains(AddressRange::of(slot, 8)) && slot.is_aligned(8);
        EXPECT_TRUE(inside) << "read outside the stacks";
        return inside ? *word(slot) : 0;
    }

    void set(VirtAddr slot, u64 value) { *word(slot) = value; }
    void call_before(VirtAddr address) { text_[address - kText - 5] = 0xe8; }

    // An interrupt's five words for the running context, on `stack`'s pointer; the handler runs inside the entry.
    void interrupt_to(VirtAddr pointer) {
        VirtAddr frame = pointer.align_down(16);
        set(frame - 16, registers.get(Register::rsp));
        set(frame - 40, registers.get(Register::rip));
        set(frame - 48, 0x1111);  // rbx
        set(frame - 56, 0x2222);  // r10
        registers = Registers::switched_out(kInterrupt + 0x20, frame - 56);
        registers.set(Register::rbp, (kTop - 48).value);
    }

    Unreliable walk(bool interrupted = true) {
        frames.clear();
        Walker walker(*this, *this, segments, registers, hook, interrupted);
        Frame frame;
        while (walker.next(frame)) frames.push_back(frame);
        EXPECT_EQ(walker.complete(), walker.why() == Unreliable::none);
        EXPECT_FALSE(walker.next(frame));
        return walker.why();
    }

    StackSegments segments;
    Registers registers;
    HookRecord hook;
    std::vector<Frame> frames;

private:
    void add(VirtAddr begin, const std::vector<u8>& program) {
        fdes_.push_back(builder_.fde(begin, kFunctionSize, program));
    }
    u64* word(VirtAddr slot) const {
        auto& stack = kTaskStack.contains(slot) ? task_words_ : exception_words_;
        return &stack[(slot.value % 0x1000) / 8];
    }

    std::vector<u8> text_;
    FrameBuilder builder_;
    std::vector<u32> fdes_;
    mutable std::array<u64, 0x200> task_words_{};
    mutable std::array<u64, 0x200> exception_words_{};
};

TEST(ArchUnwind, WalksToTheEntryFrame) {
    World world;
    ASSERT_EQ(world.walk(), Unreliable::none);
    ASSERT_EQ(world.frames.size(), 3u);
    EXPECT_EQ(world.frames[0].lookup_pc, kInner + 0x10);
    EXPECT_TRUE(world.frames[0].interrupted);
    EXPECT_EQ(world.frames[0].cfa, kTop - 32);
    EXPECT_EQ(world.frames[0].return_slot, kTop - 40);
    EXPECT_EQ(world.frames[1].pc, kOuter + 0x20);
    EXPECT_EQ(world.frames[1].lookup_pc, kOuter + 0x1f);
    EXPECT_FALSE(world.frames[1].interrupted);
    EXPECT_EQ(world.frames[1].return_slot, kTop - 8);
    EXPECT_EQ(world.frames[2].known, KnownFrame::task_entry);
    EXPECT_FALSE(world.frames[2].return_slot);
}

TEST(ArchUnwind, NewTaskHasOnlyItsEntryFrame) {
    World world;
    world.registers = Registers::switched_out(kTaskEntry, kTop);
    EXPECT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames.size(), 1u);
}

TEST(ArchUnwind, CrossesAnInterruptOnTheSameStack) {
    World world;
    world.interrupt_to(kTop - 48);
    ASSERT_EQ(world.walk(false), Unreliable::none);
    ASSERT_EQ(world.frames.size(), 4u);
    EXPECT_FALSE(world.frames[0].return_slot);
    EXPECT_TRUE(world.frames[1].interrupted);
    EXPECT_EQ(world.frames[1].saved_rip_slot, (kTop - 48).align_down(16) - 40);
    EXPECT_EQ(world.frames[1].lookup_pc, kInner + 0x10);
    EXPECT_FALSE(world.frames[2].saved_rip_slot);
}

TEST(ArchUnwind, CrossesFromTheExceptionStack) {
    World world;
    world.segments = world.segments.behind(kExceptionStack);
    world.interrupt_to(kExceptionStack.end);
    ASSERT_EQ(world.walk(false), Unreliable::none);
    EXPECT_EQ(world.frames.size(), 4u);
}

TEST(ArchUnwind, LeavesATrampoline) {
    World world;
    world.registers = Registers::switched_out(kTrampoline + 9, kTop - 40);
    world.registers.set(Register::rbp, (kTop - 16).value);
    ASSERT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames[0].known, KnownFrame::trampoline);
    EXPECT_EQ(world.frames[0].return_slot, kTop - 40);
}

TEST(ArchUnwind, TranslatesTheHookedReturn) {
    World world;
    world.hook = {kTop - 40, kOuter + 0x20};
    world.set(kTop - 40, kHook.value);
    ASSERT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames[1].pc, kOuter + 0x20);
}

TEST(ArchUnwind, WalksThroughTheHookRoutine) {
    World world;
    world.hook = {kTop - 40, kOuter + 0x20};
    world.registers = Registers::switched_out(kHook, kTop - 32);
    world.registers.set(Register::rbp, (kTop - 16).value);
    ASSERT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames[0].known, KnownFrame::return_hook);
    EXPECT_FALSE(world.frames[0].return_slot);
    EXPECT_EQ(world.frames[1].pc, kOuter + 0x20);
    // After its first instruction the original is back in its place, and the record still stands.
    world.registers.set(Register::rip, (kHook + 6).value);
    world.registers.set(Register::rsp, (kTop - 40).value);
    ASSERT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames[0].return_slot, kTop - 40);
    EXPECT_EQ(world.frames[1].pc, kOuter + 0x20);
}

// inner's return address is kept by measuring.
class ArchUnwindMeasured : public ::testing::Test {
protected:
    ArchUnwindMeasured() {
        world.hook.measured = records;
        world.set(kTop - 40, kMeasured.value);
    }
    void in_routine(u64 offset, VirtAddr rsp) {
        world.registers = Registers::switched_out(kMeasured + offset, rsp);
        world.registers.set(Register::rbp, (kTop - 16).value);
    }

    std::array<MeasuredReturn, 2> records{
        {{.slot = (kTop - 200).value, .original = 1}, {.slot = (kTop - 40).value, .original = (kOuter + 0x20).value}}};
    World world;
};

TEST_F(ArchUnwindMeasured, IsTranslatedByTheRecordOfItsSlot) {
    ASSERT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames[1].pc, kOuter + 0x20);
    EXPECT_EQ(world.frames[0].return_slot, kTop - 40);
}

TEST_F(ArchUnwindMeasured, IsRefusedWithoutARecord) {
    world.hook.measured = std::span(records).first(1);
    EXPECT_EQ(world.walk(), Unreliable::measured_without_record);
}

TEST_F(ArchUnwindMeasured, ARecordWhoseSlotIsNotWrittenYetChangesNothing) {
    world.set(kTop - 40, (kOuter + 0x20).value);
    records[1].original = 1;
    EXPECT_EQ(world.walk(), Unreliable::none);
}

TEST_F(ArchUnwindMeasured, LiesUnderTheHook) {
    world.hook.slot = kTop - 40;
    world.hook.original = kMeasured;
    world.set(kTop - 40, kHook.value);
    ASSERT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames[1].pc, kOuter + 0x20);
    // In the hook's routine, before and after it has put its original back.
    world.registers = Registers::switched_out(kHook, kTop - 32);
    world.registers.set(Register::rbp, (kTop - 16).value);
    ASSERT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames[1].pc, kOuter + 0x20);
    world.set(kTop - 40, kMeasured.value);
    world.registers.set(Register::rip, (kHook + 6).value);
    world.registers.set(Register::rsp, (kTop - 40).value);
    ASSERT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames[1].pc, kOuter + 0x20);
}

TEST_F(ArchUnwindMeasured, TheRoutineReturnsToTheRecordWhateverTheSlotHolds) {
    world.set(kTop - 40, 0x1234);
    in_routine(0, kTop - 32);
    ASSERT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames[0].known, KnownFrame::measured_return);
    EXPECT_FALSE(world.frames[0].return_slot);
    EXPECT_EQ(world.frames[1].pc, kOuter + 0x20);
    in_routine(4, kTop - 40);
    ASSERT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames[1].pc, kOuter + 0x20);
    EXPECT_EQ(world.frames[0].return_slot, kTop - 40);
}

TEST_F(ArchUnwindMeasured, TheRoutineReturnsToTheSlotOnceTheRecordIsClosed) {
    world.hook.measured = {};
    world.set(kTop - 40, (kOuter + 0x20).value);
    in_routine(4, kTop - 40);
    ASSERT_EQ(world.walk(), Unreliable::none);
    EXPECT_EQ(world.frames[1].pc, kOuter + 0x20);
    world.set(kTop - 40, kMeasured.value);
    EXPECT_EQ(world.walk(), Unreliable::measured_without_record);
    in_routine(0, kTop - 32);
    EXPECT_EQ(world.walk(), Unreliable::measured_without_record);
}

TEST(ArchUnwind, FrameAddressFromR10OnlyWhereItIsKnown) {
    World world;
    world.registers = Registers::switched_out(kFramePointer + 0x10, kTop - 40);
    world.registers.set(Register::rbp, (kTop - 16).value);
    EXPECT_EQ(world.walk(), Unreliable::register_unknown);
    world.registers.set(Register::r10, (kTop - 32).value);
    EXPECT_EQ(world.walk(), Unreliable::none);
    // A caller's r10 has not survived its call.
    world.set(kTop - 40, (kFramePointer + 0x20).value);
    world.registers = Registers::switched_out(kInner + 0x10, kTop - 48);
    world.registers.set(Register::rbp, (kTop - 48).value);
    world.registers.set(Register::r10, kTop.value);
    EXPECT_EQ(world.walk(), Unreliable::register_unknown);
    // But an interrupt entry has saved it.
    world.registers = Registers::switched_out(kFramePointer + 0x10, kTop - 40);
    world.registers.set(Register::rbp, (kTop - 16).value);
    world.set(kTop - 40, (kOuter + 0x20).value);
    world.interrupt_to(kTop - 48);
    world.registers.set(Register::rbp, (kTop - 16).value);
    world.set((kTop - 48).align_down(16) - 56, (kTop - 32).value);
    EXPECT_EQ(world.walk(false), Unreliable::none);
}

struct Breakage {
    const char* name;
    Unreliable why;
    std::function<void(World&)> change;
    bool interrupted = true;
};

TEST(ArchUnwind, RefusesEachBreakage) {
    auto stack_pointer = [](VirtAddr value) {
        return [value](World& w) { w.registers.set(Register::rsp, value.value); };
    };
    auto pc = [](VirtAddr value) { return [value](World& w) { w.registers.set(Register::rip, value.value); }; };
    auto inner_returns_to = [](u64 value) { return [value](World& w) { w.set(kTop - 40, value); }; };
    auto frame_pointer = [](VirtAddr value) {
        return [value](World& w) { w.registers.set(Register::rbp, value.value); };
    };
    const std::vector<Breakage> breakages = {
        {"stack pointer below", Unreliable::stack_pointer_outside, stack_pointer(kTaskStack.begin - 8)},
        {"stack pointer above", Unreliable::stack_pointer_outside, stack_pointer(kTaskStack.end + 8)},
        {"pc outside", Unreliable::pc_outside_text, pc(kText - 1)},
        {"return outside", Unreliable::pc_outside_text, inner_returns_to(0x1234)},
        {"return to zero", Unreliable::pc_outside_text, inner_returns_to(0)},
        {"return to the start of text", Unreliable::pc_outside_text, inner_returns_to(kText.value)},
        {"uncovered text", Unreliable::no_frame_information, pc(kBare)},
        {"return into uncovered text", Unreliable::no_frame_information,
         [](World& w) {
             w.call_before(kBare + 8);
             w.set(kTop - 40, (kBare + 8).value);
         }},
        {"return to the first byte after a function", Unreliable::no_frame_information,
         [](World& w) { w.registers.set(Register::rip, (kInner + kFunctionSize).value); }},
        {"unknown operation", Unreliable::bad_frame_information, pc(kBroken)},
        {"no return address", Unreliable::return_address_unknown, pc(kLost)},
        {"return address elsewhere", Unreliable::return_address_unknown, pc(kOdd)},
        {"frame pointer not known", Unreliable::register_unknown, [](World& w) { w.registers.forget(Register::rbp); }},
        {"frame not growing", Unreliable::frame_not_growing, frame_pointer(kTop - 80)},
        {"frame of no size", Unreliable::frame_not_growing, frame_pointer(kTop - 64)},
        {"frame without room for what it saved", Unreliable::below_stack_pointer, frame_pointer(kTop - 56)},
        {"frame above the stack", Unreliable::outside_stack, frame_pointer(kTaskStack.end + 0x100)},
        {"frame below the stack", Unreliable::outside_stack, frame_pointer(kTaskStack.begin - 0x100)},
        {"unaligned frame", Unreliable::unaligned, frame_pointer(kTop - 47)},
        {"not after a call", Unreliable::not_after_call, inner_returns_to((kOuter + 0x21).value)},
        {"return to a function's first byte", Unreliable::not_after_call, inner_returns_to(kOuter.value)},
        {"return into a trampoline", Unreliable::trampoline_called, inner_returns_to((kTrampoline + 9).value)},
        {"trampoline as a caller", Unreliable::trampoline_called, pc(kTrampoline + 9), false},
        {"hook without any record", Unreliable::hook_without_record, inner_returns_to(kHook.value)},
        {"hook in another slot", Unreliable::hook_without_record,
         [](World& w) {
             w.hook = {kTop - 8, kTaskEntry + 5};
             w.set(kTop - 40, kHook.value);
         }},
        {"hook overwritten", Unreliable::hook_overwritten, [](World& w) { w.hook = {kTop - 40, kOuter + 0x20}; }},
        {"hook fired without a record", Unreliable::hook_without_record, pc(kHook)},
        {"hook fired elsewhere", Unreliable::hook_without_record,
         [](World& w) {
             w.registers.set(Register::rip, kHook.value);
             w.hook = {kTop - 8, kOuter + 0x20};
         }},
        {"original that is no return address", Unreliable::not_after_call,
         [](World& w) {
             w.registers.set(Register::rip, kHook.value);
             w.hook = {kTop - 56, kOuter + 0x1f};
         }},
        {"entry frame in the middle", Unreliable::entry_frame_misplaced, inner_returns_to((kTaskEntry + 5).value)},
        {"no entry frame", Unreliable::pc_outside_text, [](World& w) { w.set(kTop - 8, 0); }},
        {"entry frame skipped", Unreliable::outside_stack,
         [](World& w) {
             w.set(kTop - 8, (kOuter + 0x20).value);
             w.set(kTop - 16, (kTop + 16).value);
         }},
        {"interrupt returns to a lower stack pointer", Unreliable::frame_not_growing,
         [](World& w) {
             w.interrupt_to(kTop - 48);
             w.set((kTop - 48).align_down(16) - 16, (kTop - 400).value);
         },
         false},
        {"interrupt returns to another stack", Unreliable::wrong_stack_order,
         [](World& w) {
             w.interrupt_to(kTop - 48);
             w.set((kTop - 48).align_down(16) - 16, (kExceptionStack.end - 64).value);
         },
         false},
        {"task's stack before the exception's", Unreliable::wrong_stack_order,
         [](World& w) {
             w.segments = StackSegments::of_task(kExceptionStack, kTop).behind(kTaskStack);
             w.interrupt_to(kExceptionStack.end - 512);
         },
         false},
        {"call frame across stacks", Unreliable::outside_stack,
         [](World& w) {
             w.segments = w.segments.behind(kExceptionStack);
             w.registers.set(Register::rsp, (kExceptionStack.end - 64).value);
         }},
    };
    for (const auto& breakage : breakages) {
        World world;
        breakage.change(world);
        EXPECT_EQ(name_of(world.walk(breakage.interrupted)), name_of(breakage.why)) << breakage.name;
    }
}

TEST(ArchUnwind, CountsFrames) {
    // Functions without a frame that call each other, each with nothing but its return address.
    class Deep final : public CodeMap, public StackReader {
    public:
        Deep() : builder(VirtAddr(0xffffffff80400000)) {
            builder.cie();
            fde = builder.fde(kOuter, kFunctionSize);
        }
        std::optional<FdeView> find(VirtAddr) const override { return *parse_fde(builder.table(), fde); }
        bool is_text(VirtAddr) const override { return true; }
        KnownFrame known_frame(VirtAddr) const override { return KnownFrame::none; }
        VirtAddr return_hook() const override { return {}; }
        std::span<const std::byte> text_before(VirtAddr, usize) const override {
            return std::as_bytes(std::span(call));
        }
        u64 read(VirtAddr) const override { return kOuter.value + 5; }

    private:
        FrameBuilder builder;
        u32 fde;
        std::array<u8, 5> call{0xe8};
    } deep;
    StackSegments segments = StackSegments::of_task({kTaskStack.begin, kTaskStack.begin + (1u << 20)}, kTop);
    Walker walker(deep, deep, segments, Registers::switched_out(kOuter, kTaskStack.begin), {}, true);
    Frame frame;
    u32 count = 0;
    while (walker.next(frame)) ++count;
    EXPECT_EQ(count, Walker::kMaxFrames);
    EXPECT_EQ(walker.why(), Unreliable::too_many_frames);
}

TEST(ArchUnwind, CachedRowsGoWithTheirGeneration) {
    RowCache cache;
    cache.bring_up_to_date(1);
    World world;
    auto walk = [&] {
        Walker walker(world, world, world.segments, world.registers, {}, true, &cache);
        Frame frame;
        while (walker.next(frame)) {
        }
        return walker.why();
    };
    EXPECT_FALSE(cache.find(kInner + 0x10));
    EXPECT_EQ(walk(), Unreliable::none);
    ASSERT_TRUE(cache.find(kInner + 0x10));
    EXPECT_EQ(cache.find(kInner + 0x10)->row.cfa.base, Register::rbp);
    EXPECT_EQ(walk(), Unreliable::none);
    EXPECT_FALSE(cache.find(kBare + 0x10));
    EXPECT_FALSE(cache.find(VirtAddr(~u64{0})));
    cache.bring_up_to_date(1);
    EXPECT_TRUE(cache.find(kInner + 0x10));
    cache.bring_up_to_date(2);
    EXPECT_FALSE(cache.find(kInner + 0x10));
    EXPECT_EQ(walk(), Unreliable::none);
}

TEST(ArchUnwind, KnowsCallsByTheirBytes) {
    auto ends = [](std::vector<u8> bytes) { return ends_with_call(std::as_bytes(std::span(bytes))); };
    EXPECT_TRUE(ends({0xe8, 1, 2, 3, 4}));
    EXPECT_TRUE(ends({0xff, 0xd0}));                    // call *%rax
    EXPECT_TRUE(ends({0x41, 0xff, 0xd7}));              // call *%r15
    EXPECT_TRUE(ends({0xff, 0x13}));                    // call *(%rbx)
    EXPECT_TRUE(ends({0xff, 0x50, 0x18}));              // call *24(%rax)
    EXPECT_TRUE(ends({0xff, 0x14, 0xc5, 1, 2, 3, 4}));  // call *table(,%rax,8)
    EXPECT_TRUE(ends({0xff, 0x15, 1, 2, 3, 4}));        // call *x(%rip)
    EXPECT_TRUE(ends({0xff, 0x54, 0x24, 8}));           // call *8(%rsp)
    EXPECT_TRUE(ends({0xff, 0x94, 0x24, 1, 2, 3, 4}));  // call *x(%rsp)
    EXPECT_TRUE(ends({0xff, 0x90, 1, 2, 3, 4}));        // call *x(%rax)
    EXPECT_TRUE(ends({0xff, 0x14, 0x24}));              // call *(%rsp)
    EXPECT_FALSE(ends({0xff, 0xe0}));                   // jmp *%rax
    EXPECT_FALSE(ends({0xe9, 1, 2, 3, 4}));
    EXPECT_FALSE(ends({0xff, 0x14, 0xc5, 1, 2, 3}));
    EXPECT_FALSE(ends({0xff, 0x50}));
    EXPECT_FALSE(ends({0xff}));
    EXPECT_FALSE(ends({}));
    EXPECT_FALSE(ends({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90}));
}

TEST(ArchUnwind, NamesEveryReason) {
    for (int i = 0; i <= static_cast<int>(Unreliable::too_many_frames); ++i)
        EXPECT_NE(name_of(static_cast<Unreliable>(i)), "unknown reason");
}

}  // namespace
}  // namespace graft::arch
