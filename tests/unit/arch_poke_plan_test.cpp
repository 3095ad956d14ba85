#include "arch/x86_64/pure/poke_plan.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

namespace graft::arch {
namespace {

constexpr VirtAddr kSite{0xffffffff80200010};

class FakeText final : public TextReader {
public:
    SiteBytes read(VirtAddr site) const override { return bytes.at(site.value); }
    std::map<u64, SiteBytes> bytes;
};

SiteBytes jump(u32 displacement) {
    SiteBytes bytes{0xe9};
    std::memcpy(bytes.data() + 1, &displacement, 4);
    return bytes;
}

// What a processor may see of one byte: what was there at its last synchronisation, or anything written since.
using Visible = std::array<std::vector<u8>, kSiteSize>;

enum class Fetch { old_one, breakpoint, new_one, torn };

Fetch classify(const SiteBytes& bytes, const Poke& poke) {
    if (bytes[0] == kBreakpoint) return Fetch::breakpoint;
    if (bytes == poke.expected) return Fetch::old_one;
    if (bytes == poke.wanted) return Fetch::new_one;
    return Fetch::torn;
}

// Every combination of bytes that some processor may fetch now.
template <typename Visit>
void for_each_fetch(const Visible& visible, SiteBytes& bytes, usize index, const Visit& visit) {
    if (index == kSiteSize) return visit(bytes);
    for (u8 byte : visible[index]) {
        bytes[index] = byte;
        for_each_fetch(visible, bytes, index + 1, visit);
    }
}

struct Outcome {
    bool torn = false;
    bool old_after_new_is_certain = false;  // the old instruction after the round that ends the int3 phase
    SiteBytes final{};
    usize rounds = 0;
};

// Runs the steps, and looks at every possible fetch after each single byte.
Outcome run(std::span<const PokeStep> steps, const Poke& poke) {
    Outcome outcome;
    SiteBytes memory = poke.expected;
    Visible visible;
    for (usize i = 0; i < kSiteSize; ++i) visible[i] = {memory[i]};
    bool only_new = false;
    auto look = [&] {
        SiteBytes bytes;
        for_each_fetch(visible, bytes, 0, [&](const SiteBytes& fetched) {
            Fetch fetch = classify(fetched, poke);
            outcome.torn |= fetch == Fetch::torn;
            outcome.old_after_new_is_certain |= only_new && fetch != Fetch::new_one;
        });
    };
    for (PokeStep step : steps) {
        PokeSpan span = written_by(step);
        for (usize i = span.first; i < span.last; ++i) {
            memory[i] = byte_for(step, poke, i);
            visible[i].push_back(memory[i]);
            look();
        }
        if (step == PokeStep::synchronise) {
            ++outcome.rounds;
            for (usize i = 0; i < kSiteSize; ++i) visible[i] = {memory[i]};
            only_new = memory == poke.wanted;
            look();
        }
    }
    outcome.final = memory;
    return outcome;
}

const std::vector<Poke> kPokes = {
    {kSite, kSiteNop, jump(0x1000)},
    {kSite, jump(0x1000), kSiteNop},
    {kSite, jump(0x1000), jump(0x22334455)},  // same first byte, every tail byte another
    {kSite, jump(0x1000), jump(0x1001)},
};

TEST(ArchPokePlan, NoProcessorEverFetchesAMix) {
    for (const Poke& poke : kPokes) {
        Outcome outcome = run(kPokeSteps, poke);
        EXPECT_FALSE(outcome.torn);
        EXPECT_FALSE(outcome.old_after_new_is_certain);
        EXPECT_EQ(outcome.final, poke.wanted);
        EXPECT_EQ(outcome.rounds, 4u);
    }
}

TEST(ArchPokePlan, EveryRoundThatProcessorsNeedIsNeeded) {
    // Without the first or the second synchronisation, or with the tails before the breakpoint, a mix is possible.
    std::vector<PokeStep> steps(kPokeSteps.begin(), kPokeSteps.end());
    for (usize left_out : {usize{0}, usize{1}, usize{3}}) {
        auto fewer = steps;
        fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(left_out));
        EXPECT_TRUE(run(fewer, kPokes[2]).torn) << left_out;
    }
    auto last = steps;
    last.erase(last.begin() + 5);
    EXPECT_EQ(run(last, kPokes[0]).rounds, 3u);
    // The alias is flushed right before the same first byte is written once more, and a round follows.
    EXPECT_EQ(steps[6], PokeStep::flush_alias);
    EXPECT_EQ(steps[7], PokeStep::write_first);
    EXPECT_EQ(steps.back(), PokeStep::synchronise);
}

TEST(ArchPokePlan, ChecksEverySiteBeforeTheFirstWrite) {
    FakeText text;
    text.bytes[kSite.value] = kSiteNop;
    text.bytes[kSite.value + 16] = jump(8);
    std::vector<Poke> pokes = {{kSite, kSiteNop, jump(4)}, {kSite + 16, jump(8), kSiteNop}};
    EXPECT_TRUE(check_pokes(pokes, text));
    EXPECT_TRUE(check_pokes({}, text));

    text.bytes[kSite.value + 16][0] = kBreakpoint;  // as a debugger leaves it
    auto refused = check_pokes(pokes, text);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().fault, PokeFault::unexpected_bytes);
    EXPECT_EQ(refused.error().site, kSite + 16);
    EXPECT_EQ(refused.error().found[0], kBreakpoint);
    EXPECT_EQ(refused.error().expected, jump(8));
}

TEST(ArchPokePlan, RefusesMalformedBatches) {
    FakeText text;
    for (u64 offset = 0; offset < 32; ++offset) text.bytes[kSite.value + offset] = kSiteNop;
    auto fault = [&](std::vector<Poke> pokes) { return check_pokes(pokes, text).error().fault; };
    EXPECT_EQ(fault({{kSite + 16, kSiteNop, jump(1)}, {kSite, kSiteNop, jump(1)}}), PokeFault::not_ascending);
    EXPECT_EQ(fault({{kSite, kSiteNop, jump(1)}, {kSite, kSiteNop, jump(1)}}), PokeFault::not_ascending);
    EXPECT_EQ(fault({{kSite, kSiteNop, SiteBytes{0xcc, 0x1f, 0x44, 0, 0}}}), PokeFault::not_a_site);
    EXPECT_EQ(fault({{kSite, SiteBytes{0x55}, kSiteNop}}), PokeFault::not_a_site);
    EXPECT_EQ(fault({{kSite + 4, kSiteNop, jump(1)}}), PokeFault::crosses_word);
    EXPECT_TRUE(check_pokes(std::vector<Poke>{{kSite + 3, kSiteNop, jump(1)}}, text));
}

}  // namespace
}  // namespace graft::arch
