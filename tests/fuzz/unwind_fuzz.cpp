// Frame tables and stacks from anywhere: what passes the verification must be as its promise says, and no walk over
// whatever table and stack may read outside the stack, go on for ever, or end well anywhere but at the entry frame.
//
// Input: u16 size of the table, the table, nine register words, the stack from its highest word. Words whose highest
// byte is 1, 2 or 3 stand for an address in the stack, in text, or of a known frame, so that mutation meets real
// addresses.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "arch/x86_64/pure/cfi.h"
#include "arch/x86_64/pure/unwind.h"
#include "base/reader.h"

namespace graft::arch {
namespace {

constexpr VirtAddr kTableAt{0xffffffff80400000};
constexpr AddressRange kText{VirtAddr(0xffffffff80200000), VirtAddr(0xffffffff80210000)};
constexpr VirtAddr kTrampoline{0xffffffff80211000};
constexpr VirtAddr kHook{0xffffffff80212000};
constexpr VirtAddr kTaskEntry{0xffffffff80213000};
constexpr AddressRange kStack{VirtAddr(0xffff800000010000), VirtAddr(0xffff800000012000)};
constexpr usize kWords = kStack.size() / 8;

#define CHECK(condition)                \
    do {                                \
        if (!(condition)) std::abort(); \
    } while (false)

u64 to_address(u64 word) {
    switch (word >> 56) {
        case 1:
            return kStack.begin.value + (word & 0x1fff);
        case 2:
            return kText.begin.value + (word & 0xffff);
        case 3:
            return kTrampoline.value + (word & 0x2fff);
        default:
            return word;
    }
}

class World final : public CodeMap, public StackReader {
public:
    World(FrameTable table, std::span<const FrameIndexEntry> index, std::span<const u64> words)
        : table_(table), index_(index), words_(words) {}

    std::optional<FdeView> find(VirtAddr pc) const override {
        auto entry = find_in_index(index_, pc);
        if (!entry) return std::nullopt;
        auto fde = parse_fde(table_, entry->fde_offset);
        CHECK(fde);
        return *fde;
    }
    bool is_text(VirtAddr pc) const override { return kText.contains(pc); }
    KnownFrame known_frame(VirtAddr pc) const override {
        if (AddressRange::of(kTrampoline, 32).contains(pc)) return KnownFrame::trampoline;
        if (AddressRange::of(kHook, 32).contains(pc)) return KnownFrame::return_hook;
        if (AddressRange::of(kTaskEntry, 32).contains(pc)) return KnownFrame::task_entry;
        return KnownFrame::none;
    }
    VirtAddr return_hook() const override { return kHook; }
    std::span<const std::byte> text_before(VirtAddr pc, usize) const override {
        static constexpr std::byte kCall[] = {std::byte{0xff}, std::byte{0xd0}};
        return pc.value % 16 == 0 ? std::span<const std::byte>() : std::span(kCall);
    }
    u64 read(VirtAddr slot) const override {
        CHECK(slot.is_aligned(8) && kStack.contains(AddressRange::of(slot, 8)));
        return words_[(slot - kStack.begin) / 8];
    }

private:
    FrameTable table_;
    std::span<const FrameIndexEntry> index_;
    std::span<const u64> words_;
};

void check_index(FrameTable table, std::span<const FrameIndexEntry> index) {
    for (usize i = 0; i < index.size(); ++i) {
        CHECK(kText.contains(index[i].range()));
        if (i != 0) CHECK(index[i - 1].range().end <= index[i].begin);
        auto fde = parse_fde(table, index[i].fde_offset);
        CHECK(fde && fde->range == index[i].range());
        for (u64 offset : {u64{0}, u64{index[i].size / 2}, u64{index[i].size - 1}})
            CHECK(find_row(*fde, fde->range.begin + offset));
    }
}

Unreliable walk(const World& world, const Registers& registers, HookRecord hook, bool interrupted, RowCache* cache) {
    StackSegments segments = StackSegments::of_task(kStack, kStack.end - 16);
    Walker walker(world, world, segments, registers, hook, interrupted, cache);
    Frame frame;
    u32 frames = 0;
    VirtAddr cfa;
    while (walker.next(frame)) {
        CHECK(++frames <= Walker::kMaxFrames);
        cfa = frame.cfa;
    }
    if (walker.complete()) CHECK(frame.known == KnownFrame::task_entry && cfa == segments.top);
    CHECK(walker.complete() == (walker.why() == Unreliable::none));
    return walker.why();
}

// What a walk says doesn't depend on what was remembered.
void walk_with_and_without_cache(const World& world, const Registers& registers, HookRecord hook, bool interrupted) {
    RowCache cache;
    Unreliable why = walk(world, registers, hook, interrupted, nullptr);
    CHECK(walk(world, registers, hook, interrupted, &cache) == why);
    CHECK(walk(world, registers, hook, interrupted, &cache) == why);
}

void run(std::span<const std::byte> input) {
    Reader reader(input);
    auto table_size = reader.read<u16>();
    auto bytes = reader.take(std::min<usize>(table_size, reader.remaining()));
    FrameTable table{bytes, kTableAt};
    std::vector<FrameIndexEntry> index(bytes.size() / 8 + 1);
    auto count = verify_frames(table, std::span(&kText, 1), TableOwner::image, index);
    auto in_patch = verify_frames(table, std::span(&kText, 1), TableOwner::patch, index);
    CHECK(count || !in_patch);
    if (count) check_index(table, std::span(index).first(*count));
    // A table that fails is walked with all the same, as far as an index can be made of it.
    auto usable = build_index(table, index);

    Registers registers;
    for (usize i = 0; i < kRegisterCount; ++i) registers.set(static_cast<Register>(i), to_address(reader.read<u64>()));
    std::vector<u64> words(kWords);
    for (usize i = 0; i < kWords && reader.remaining() >= 8; ++i)
        words[kWords - 1 - i] = to_address(reader.read<u64>());
    World world(table, std::span(index).first(usable ? *usable : 0), words);
    walk_with_and_without_cache(world, registers, {}, true);
    walk_with_and_without_cache(world, registers, {VirtAddr(registers.get(Register::rsp)), VirtAddr(words[kWords - 3])},
                                false);
}

}  // namespace
}  // namespace graft::arch

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
    graft::arch::run(std::as_bytes(std::span(data, size)));
    return 0;
}
