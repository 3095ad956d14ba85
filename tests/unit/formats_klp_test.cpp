#include "formats/klp.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace graft::formats {
namespace {

using Bytes = std::vector<std::byte>;

Bytes example() {
    KlpBuildId build_id;
    build_id.fill(0x5a);
    std::array<std::byte, 3> code{std::byte{1}, std::byte{2}, std::byte{3}};
    auto write = [&](std::span<std::byte> out) {
        KlpMetadataWriter writer(out, build_id);
        writer.text(KlpTag::name, "fix-1");
        writer.text(KlpTag::set, "fix");
        writer.text(KlpTag::description, "rounds up");
        writer.flags(kKlpFlagEndless);
        std::array<KlpRange, 2> ranges{KlpRange{VirtAddr(0x1000), code},
                                       KlpRange{VirtAddr(0x2000), std::span(code).first(1)}};
        writer.function(KlpTag::func, "_Z5pricei", VirtAddr(0x1000), 2, 17, ranges);
        writer.function(KlpTag::hold, "main_loop", VirtAddr(0x3000), 1, 0, std::span(ranges).first(1));
        writer.reference(9, VirtAddr(0xffffffff80201234));
        KlpState state;
        state.id = 0x1122334455667788;
        state.version = 3;
        state.flags = kKlpStateIrreversible;
        state.time_limit_ms = 250;
        state.callback = {11, 0, 12, 0, 13};
        state.name = "limits";
        writer.state(state);
        writer.display_name(17, "price(int)");
        writer.display_name(18, "sum()");
        return writer.finish();
    };
    Bytes out(write({}));
    EXPECT_EQ(write(out), out.size());
    return out;
}

TEST(Klp, ReadsWhatItWrites) {
    Bytes section = example();
    auto opened = KlpMetadata::open(section);
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(opened->name(), "fix-1");
    EXPECT_EQ(opened->set(), "fix");
    EXPECT_EQ(opened->description(), "rounds up");
    EXPECT_EQ(opened->version(), "");
    EXPECT_TRUE(opened->is_endless());
    EXPECT_EQ(opened->func_count(), 1u);
    EXPECT_EQ(opened->hold_count(), 1u);
    EXPECT_EQ(opened->reference_count(), 1u);
    EXPECT_EQ(opened->header().build_id[19], 0x5a);

    usize cursor = 0;
    auto func = opened->next_function(cursor);
    ASSERT_TRUE(func.has_value());
    EXPECT_EQ(func->name, "_Z5pricei");
    EXPECT_EQ(func->entry, VirtAddr(0x1000));
    EXPECT_EQ(func->position, 2u);
    EXPECT_EQ(func->symbol, 17u);
    ASSERT_EQ(func->range_count, 2u);
    Reader ranges(func->encoded_ranges);
    EXPECT_EQ(KlpFunction::next_range(ranges).bytes.size(), 3u);
    EXPECT_EQ(KlpFunction::next_range(ranges).begin, VirtAddr(0x2000));
    auto hold = opened->next_function(cursor);
    ASSERT_TRUE(hold.has_value());
    EXPECT_EQ(hold->tag, KlpTag::hold);
    EXPECT_FALSE(opened->next_function(cursor).has_value());

    cursor = 0;
    auto reference = opened->next_reference(cursor);
    ASSERT_TRUE(reference.has_value());
    EXPECT_EQ(reference->symbol, 9u);
    EXPECT_EQ(reference->address, VirtAddr(0xffffffff80201234));
}

TEST(Klp, ReadsAStateAsItWasWritten) {
    Bytes section = example();
    auto opened = KlpMetadata::open(section);
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(opened->state_count(), 1u);
    usize cursor = 0;
    auto state = opened->next_state(cursor);
    ASSERT_TRUE(state.has_value());
    EXPECT_EQ(state->id, 0x1122334455667788u);
    EXPECT_EQ(state->version, 3u);
    EXPECT_TRUE(state->is_irreversible());
    EXPECT_EQ(state->time_limit_ms, 250u);
    EXPECT_EQ(state->callback, (std::array<u32, kKlpCallbackCount>{11, 0, 12, 0, 13}));
    EXPECT_EQ(state->name, "limits");
    EXPECT_FALSE(opened->next_state(cursor).has_value());
}

TEST(Klp, ReadsDisplayNames) {
    Bytes section = example();
    auto opened = KlpMetadata::open(section);
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(opened->display_size(), 15u);
    usize cursor = 0;
    auto name = opened->next_display_name(cursor);
    ASSERT_TRUE(name.has_value());
    EXPECT_EQ(name->symbol, 17u);
    EXPECT_EQ(name->text, "price(int)");
    name = opened->next_display_name(cursor);
    ASSERT_TRUE(name.has_value());
    EXPECT_EQ(name->text, "sum()");
    EXPECT_FALSE(opened->next_display_name(cursor).has_value());
}

TEST(Klp, RefusesEveryTruncation) {
    Bytes section = example();
    for (usize size = 0; size < section.size(); ++size) {
        EXPECT_FALSE(KlpMetadata::open(std::span(section).first(size)).has_value()) << size;
    }
}

TEST(Klp, EnvelopeIsATrailerOfFixedSize) {
    Bytes file(100);
    KlpEnvelope envelope;
    envelope.object_size = 100;
    auto trailer = encode_klp_envelope(envelope);
    file.insert(file.end(), trailer.begin(), trailer.end());
    auto opened = open_klp(file);
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(opened->object.size(), 100u);
    EXPECT_FALSE(opened->envelope.is_signed());
    envelope.signature[63] = 1;
    EXPECT_TRUE(envelope.is_signed());
    file.insert(file.begin(), std::byte{0});
    EXPECT_EQ(open_klp(file).error().reason, KlpError::Reason::bad_size);
}

TEST(Klp, NamesOfPatches) {
    for (auto* good : {"a", "9", "fix-1.2_x+y", "A"}) EXPECT_TRUE(is_patch_name(good)) << good;
    for (auto* bad : {"", ".", ".x", "-x", "a/b", "a b", "a\n", "\xc3\xa4"}) EXPECT_FALSE(is_patch_name(bad)) << bad;
    EXPECT_TRUE(is_patch_name(std::string(kKlpMaxPatchName, 'x')));
    EXPECT_FALSE(is_patch_name(std::string(kKlpMaxPatchName + 1, 'x')));
}

}  // namespace
}  // namespace graft::formats
