// Who vouches for a patch: what the check of origin lets through, and that it lets through nothing else.
#include "patch/origin.h"
#include "patch/signature.h"

#include <cstring>

#include "tests/unit/patch_fixture.h"
#include "tools/signing/keys.h"

namespace graft::patch {
namespace {

using sim::Bytes;
using sim::PatchBuilder;
using tools::SecretKey;

SecretKey make_key(const char* name, u8 seed) {
    std::array<u8, SecretKey::kSeedSize> bytes;
    bytes.fill(seed);
    return SecretKey::from_seed(name, bytes);
}

formats::TrustedKey trusted(const SecretKey& key) {
    formats::TrustedKey row;
    const auto& half = key.public_half();
    std::memcpy(row.name_bytes.data(), half.name.data(), half.name.size());
    row.key = half.key;
    row.id = half.id;
    return row;
}

class PatchOrigin : public PatchTest {
protected:
    PatchOrigin() {
        machine.unsigned_accepted = false;
        machine.keys = {trusted(other), trusted(key)};
        PatchBuilder builder(image, "fix");
        builder.replace("f0");
        unsigned_file = builder.build();
        file = unsigned_file;
        sign(file, key);
    }

    static void sign(Bytes& file, const SecretKey& key) { ASSERT_TRUE(tools::sign_patch(file, key).has_value()); }
    RefusalCode refusal(const Bytes& file, Source source = Source::network) {
        auto origin = check_origin(machine, file, source);
        EXPECT_FALSE(origin.has_value());
        return origin ? RefusalCode::not_in_transition : origin.error().code;
    }
    usize count_records() {
        std::array<HistoryRecord, 8> records;
        u64 last = 0;
        return registry->read_history(0, records, last);
    }

    SecretKey key = make_key("release", 1);
    SecretKey other = make_key("second", 2);
    SecretKey stranger = make_key("stranger", 3);
    Bytes unsigned_file;
    Bytes file;
};

TEST_F(PatchOrigin, ASignedPatchNamesItsSigner) {
    for (const SecretKey* signer : {&key, &other}) {
        sign(file, *signer);
        auto origin = check_origin(machine, file, Source::network);
        ASSERT_TRUE(origin.has_value()) << text_of(origin.error());
        EXPECT_EQ(origin->signer, signer->public_half().name);
        EXPECT_EQ(origin->file.object.size(), file.size() - formats::kKlpEnvelopeSize);
    }
}

// RFC 8032, 7.1, test 3: key, message of two bytes, signature.
TEST_F(PatchOrigin, TheSignatureIsEd25519) {
    formats::PublicKey public_key;
    formats::Signature signature;
    auto decode = [](const char* text, auto& bytes) {
        for (usize i = 0; i < bytes.size(); ++i)
            bytes[i] = static_cast<u8>(std::stoul(std::string(text + 2 * i, 2), nullptr, 16));
    };
    decode("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", public_key);
    decode(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        signature);
    const std::byte message[] = {std::byte{0xaf}, std::byte{0x82}};
    EXPECT_TRUE(is_signature_of(signature, message, public_key));
    EXPECT_FALSE(is_signature_of(signature, std::span(message).first(1), public_key));
    signature[5] ^= 1;
    EXPECT_FALSE(is_signature_of(signature, message, public_key));
}

TEST_F(PatchOrigin, ATamperedByteIsRefusedWhereverItIs) {
    usize envelope = file.size() - formats::kKlpEnvelopeSize;
    for (usize at = 0; at < file.size(); ++at) {
        for (u8 change : {0x01, 0x80, 0xff}) {
            file[at] ^= std::byte{change};
            RefusalCode code = refusal(file);
            RefusalCode expected = at < envelope        ? RefusalCode::wrong_signature
                                   : at < envelope + 8  ? RefusalCode::not_a_patch
                                   : at < envelope + 24 ? RefusalCode::bad_envelope
                                   : at < envelope + 40 ? RefusalCode::unknown_key
                                                        : RefusalCode::wrong_signature;
            ASSERT_EQ(name_of(code), name_of(expected)) << "byte " << at << " of " << file.size();
            file[at] ^= std::byte{change};
        }
    }
    EXPECT_TRUE(check_origin(machine, file, Source::network).has_value());
}

TEST_F(PatchOrigin, ASizeChangedWithTheEnvelopeIsRefused) {
    Bytes longer = file;
    longer.insert(longer.begin() + 100, std::byte{0});
    u64 size = longer.size() - formats::kKlpEnvelopeSize;
    std::memcpy(longer.data() + size + 16, &size, sizeof(size));
    EXPECT_EQ(refusal(longer), RefusalCode::wrong_signature);
}

TEST_F(PatchOrigin, OnlyABuiltInKeyCounts) {
    sign(file, stranger);
    EXPECT_EQ(refusal(file), RefusalCode::unknown_key);
    // The stranger's signature under a known key's id.
    Bytes claimed = unsigned_file;
    auto id = key.public_half().id;
    std::memcpy(claimed.data() + claimed.size() - formats::kKlpEnvelopeSize + formats::kKlpKeyIdOffset, id.data(),
                id.size());
    auto message = std::span(claimed).first(claimed.size() - 64);
    auto signature = stranger.sign(message);
    std::memcpy(claimed.data() + claimed.size() - 64, signature.data(), signature.size());
    EXPECT_EQ(refusal(claimed), RefusalCode::wrong_signature);
    machine.keys.clear();
    sign(file, key);
    EXPECT_EQ(refusal(file), RefusalCode::unknown_key);
}

// With the neutral element as key, a signature of R = neutral, S = 0 would fit any message.
TEST_F(PatchOrigin, AKeyOfSmallOrderSignsNothing) {
    formats::PublicKey neutral{};
    neutral[0] = 1;
    formats::Signature signature{};
    signature[0] = 1;
    EXPECT_FALSE(is_signature_of(signature, file, neutral));
}

// S + L is the same number modulo the group's order: a second form of the same signature.
TEST_F(PatchOrigin, ASignatureHasOneFormOnly) {
    constexpr u8 kOrder[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                               0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                               0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
    auto* s = reinterpret_cast<u8*>(file.data() + file.size() - 32);
    unsigned carry = 0;
    for (usize i = 0; i < 32; ++i) {
        carry += s[i] + kOrder[i];
        s[i] = static_cast<u8>(carry);
        carry >>= 8;
    }
    EXPECT_EQ(refusal(file), RefusalCode::wrong_signature);
}

TEST_F(PatchOrigin, AnUnsignedPatchIsRefusedUnlessTheWayIsTrusted) {
    EXPECT_EQ(refusal(unsigned_file), RefusalCode::not_signed);
    machine.unsigned_accepted = true;
    auto origin = check_origin(machine, unsigned_file, Source::serial);
    ASSERT_TRUE(origin.has_value());
    EXPECT_TRUE(origin->signer.empty());
    // It is unsigned ones that are accepted, not wrongly signed ones.
    file[0] ^= std::byte{1};
    EXPECT_EQ(refusal(file, Source::serial), RefusalCode::wrong_signature);
}

// An object that isn't even one: the refusal is the signature's, since nothing of it was looked at.
TEST_F(PatchOrigin, NothingOfTheObjectIsLookedAtBefore) {
    Bytes garbage = PatchBuilder::with_envelope(Bytes(500, std::byte{0xcc}));
    auto records = machine.ledger();
    auto loaded = load(garbage);
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(loaded.error().code, RefusalCode::not_signed);
    EXPECT_EQ(machine.ledger(), records);
    sign(garbage, key);
    loaded = load(garbage);
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(loaded.error().code, RefusalCode::not_an_object);
}

TEST_F(PatchOrigin, APlanAsksForTheOriginToo) {
    struct Sink final : PlanSink {
        void patch(const PatchView& view) override { signer = view.signer; }
        void function(const FunctionView&) override {}
        void holder(u64, Verdict::Kind) override {}
        void refusal(const Refusal& refusal) override { code = refusal.code; }
        std::string signer = "(no view)";
        std::optional<RefusalCode> code;
    };
    Sink refused;
    registry->plan(unsigned_file, {}, {}, refused);
    EXPECT_EQ(refused.signer, "(no view)");
    EXPECT_EQ(refused.code, RefusalCode::not_signed);
    Sink accepted;
    registry->plan(file, {}, {}, accepted);
    EXPECT_EQ(accepted.signer, "release");
    EXPECT_FALSE(accepted.code.has_value());
}

// ---- versions -------------------------------------------------------------------------------------------------------

class PatchVersions : public PatchTest {
protected:
    Bytes patch(const std::string& name, const std::string& version, const std::string& set = "s") {
        PatchBuilder builder(image, name);
        builder.replace("f0");
        builder.more_metadata = [=](formats::KlpMetadataWriter& writer) {
            if (!set.empty()) writer.text(formats::KlpTag::set, set);
            if (!version.empty()) writer.text(formats::KlpTag::version, version);
        };
        return builder.build();
    }
    // Loads and unloads; what refused it, if anything did.
    std::optional<RefusalCode> try_version(const std::string& version, const std::string& set = "s",
                                           LoadOptions options = {}) {
        auto loaded = load(patch("fix", version, set), {}, options);
        if (!loaded) return loaded.error().code;
        EXPECT_EQ(registry->complete(), Completion::done);
        unload_fully("fix");
        return std::nullopt;
    }
};

TEST_F(PatchVersions, ALowerOneThanTheSetHasHadIsRefused) {
    EXPECT_EQ(try_version(""), std::nullopt);
    EXPECT_EQ(try_version("1.9"), std::nullopt);
    EXPECT_EQ(try_version("1.9.0.0"), std::nullopt) << "equal";
    EXPECT_EQ(try_version("1.10"), std::nullopt) << "by number, not by digit";
    for (auto* version : {"1.9", "1", "0.99.99.99", ""})
        EXPECT_EQ(try_version(version), RefusalCode::downgrade) << version;
    EXPECT_EQ(try_version("1.10"), std::nullopt);
    EXPECT_EQ(try_version("2"), std::nullopt);
    EXPECT_EQ(try_version("1.10"), RefusalCode::downgrade);
}

TEST_F(PatchVersions, EachSetHasItsOwn) {
    EXPECT_EQ(try_version("5", "a"), std::nullopt);
    EXPECT_EQ(try_version("1", "b"), std::nullopt);
    EXPECT_EQ(try_version("4", "a"), RefusalCode::downgrade);
    // Without a set, a patch is a set of its own under its own name.
    EXPECT_EQ(try_version("1", ""), std::nullopt);
}

TEST_F(PatchVersions, ALowerOneMayBeAllowedAndChangesNothingForTheNext) {
    EXPECT_EQ(try_version("3"), std::nullopt);
    EXPECT_EQ(try_version("1", "s", {.allow_downgrade = true}), std::nullopt);
    EXPECT_EQ(try_version("2"), RefusalCode::downgrade);
}

TEST_F(PatchVersions, OnlyWhatWasInForceCounts) {
    ASSERT_TRUE(load(patch("fix", "7")).has_value());
    ASSERT_TRUE(registry->reverse("fix").has_value());
    ASSERT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(try_version("6"), std::nullopt);
    // A load that is refused for another reason raises nothing either.
    EXPECT_FALSE(load(patch("fix", "9"), "-no-name").has_value());
    EXPECT_EQ(try_version("6.1"), std::nullopt);
}

TEST_F(PatchVersions, AReplaceCountsToo) {
    load_fully(patch("one", "1"));
    load_fully(patch("two", "2"));
    unload_fully("two");
    EXPECT_EQ(try_version("1"), RefusalCode::downgrade);
}

TEST_F(PatchVersions, APlanTellsOfIt) {
    struct Sink final : PlanSink {
        void patch(const PatchView&) override {}
        void function(const FunctionView&) override {}
        void holder(u64, Verdict::Kind) override {}
        void refusal(const Refusal& refusal) override {
            Text<512> line;
            render(refusal, line);
            text = line.view();
        }
        std::string text;
    } sink;
    EXPECT_EQ(try_version("3.1"), std::nullopt);
    registry->plan(patch("fix", "3.0.9"), {}, {}, sink);
    EXPECT_EQ(sink.text, "s: a lower version than the set has had (it has had 3.1, this is 3.0.9)");
}

TEST_F(PatchVersions, NoMemoryForTheRecordRefusesTheLoad) {
    for (u64 calls = 1;; ++calls) {
        auto before = machine.ledger();
        machine.fail_after(calls);
        auto loaded = load(patch("fix", "1"));
        bool was_reached = !machine.failure_pending();
        machine.fail_after(0);
        if (!was_reached) break;
        ASSERT_FALSE(loaded.has_value());
        EXPECT_EQ(machine.ledger(), before) << calls;
    }
    EXPECT_EQ(registry->complete(), Completion::done);
}

// ---- what is kept of it ---------------------------------------------------------------------------------------------

TEST_F(PatchOrigin, UnauthenticatedRefusalsAreCountedAndNotKept) {
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(load(unsigned_file).has_value());
    EXPECT_FALSE(load({}).has_value());
    EXPECT_EQ(registry->unauthenticated_refusals(), 4u);
    EXPECT_EQ(count_records(), 0u);
    // Whoever signed it is known: this refusal is kept.
    EXPECT_FALSE(load(file, "-no-name").has_value());
    EXPECT_EQ(registry->unauthenticated_refusals(), 4u);
    EXPECT_EQ(count_records(), 1u);
}

TEST_F(PatchOrigin, WhatTheBootLoaderBroughtIsReportedInAnyCase) {
    EXPECT_FALSE(load(unsigned_file, "baked", {.source = Source::boot}).has_value());
    EXPECT_EQ(count_records(), 1u);
}

TEST_F(PatchOrigin, TheSignerIsShownAndRecorded) {
    load_fully(file);
    auto shown = find_view(*registry, "fix");
    ASSERT_TRUE(shown);
    EXPECT_EQ(shown->signer, "release");
    unload_fully("fix");
    std::array<HistoryRecord, 8> records;
    u64 last = 0;
    usize count = registry->read_history(0, records, last);
    ASSERT_GE(count, 4u);
    for (usize i = 0; i < count; ++i) EXPECT_EQ(records[i].signer.view(), "release") << name_of(records[i].event);
    Text<512> line;
    render(records[0], line);
    EXPECT_NE(line.view().find("\tsigner=release"), std::string_view::npos) << line.view();
}

}  // namespace
}  // namespace graft::patch
