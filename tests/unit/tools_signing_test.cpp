// Key files and signatures on the host.
#include "tools/signing/keys.h"

#include <gtest/gtest.h>

#include <cstring>

#include "formats/klp.h"

namespace graft::tools {
namespace {

std::array<u8, SecretKey::kSeedSize> seed(u8 value) {
    std::array<u8, SecretKey::kSeedSize> bytes;
    bytes.fill(value);
    return bytes;
}

std::vector<std::byte> small_patch() {
    std::vector<std::byte> file(40, std::byte{7});
    formats::KlpEnvelope envelope;
    envelope.object_size = file.size();
    auto trailer = formats::encode_klp_envelope(envelope);
    file.insert(file.end(), trailer.begin(), trailer.end());
    return file;
}

TEST(ToolsSigning, KeyFilesCanBeReadAgain) {
    auto key = SecretKey::from_seed("release-1", seed(5));
    auto secret = parse_secret_key(key.secret_file(), "x.key");
    ASSERT_TRUE(secret.has_value()) << secret.error().text;
    auto half = parse_public_key(key.public_file(), "x.pub");
    ASSERT_TRUE(half.has_value()) << half.error().text;
    for (const NamedPublicKey* read : {&secret->public_half(), static_cast<const NamedPublicKey*>(&*half)}) {
        EXPECT_EQ(read->name, "release-1");
        EXPECT_EQ(read->key, key.public_half().key);
        EXPECT_EQ(read->id, key.public_half().id);
    }
    EXPECT_EQ(secret->sign({}), key.sign({}));
}

TEST(ToolsSigning, GeneratedKeysDiffer) {
    EXPECT_NE(SecretKey::generate("a").public_half().key, SecretKey::generate("a").public_half().key);
}

TEST(ToolsSigning, WhatIsNoKeyFileIsRefusedWithItsPlace) {
    const std::string digits(64, 'a');
    struct {
        std::string text;
        const char* reason;
    } cases[] = {
        {"", "x.pub: no key"},
        {"# only a comment\n\n", "x.pub: no key"},
        {"graft-secret-key a " + digits, "x.pub:1: the other half"},
        {"\nsomething a " + digits, "x.pub:2: no line of a key file"},
        {"graft-public-key", "x.pub:1: '' is not a name"},
        {"graft-public-key -a " + digits, "x.pub:1: '-a' is not a name"},
        {"graft-public-key " + std::string(64, 'n') + " " + digits, "is not a name"},
        {"graft-public-key a " + digits.substr(1), "64 hexadecimal digits"},
        {"graft-public-key a " + digits + "aa", "64 hexadecimal digits"},
        {"graft-public-key a " + digits.substr(1) + "g", "64 hexadecimal digits"},
        {"graft-public-key a", "64 hexadecimal digits"},
        {"graft-public-key a " + digits + " more", "something stands behind"},
        {"graft-public-key a " + digits + "\ngraft-public-key b " + digits, "x.pub:2: a second key"},
    };
    for (auto& one : cases) {
        auto key = parse_public_key(one.text, "x.pub");
        ASSERT_FALSE(key.has_value()) << one.text;
        EXPECT_NE(key.error().text.find(one.reason), std::string::npos) << key.error().text << " for " << one.text;
    }
    EXPECT_TRUE(parse_public_key("graft-public-key a " + digits, "x.pub").has_value());
}

TEST(ToolsSigning, ASignedPatchIsRightForItsKeyAlone) {
    auto key = SecretKey::from_seed("a", seed(1));
    auto other = SecretKey::from_seed("b", seed(2));
    std::vector<NamedPublicKey> keys = {other.public_half(), key.public_half()};
    auto file = small_patch();
    const NamedPublicKey* signer = nullptr;
    EXPECT_EQ(check_signature(file, keys, signer).value(), SignatureState::none);
    ASSERT_TRUE(sign_patch(file, key).has_value());
    EXPECT_EQ(check_signature(file, keys, signer).value(), SignatureState::right);
    EXPECT_EQ(signer, &keys[1]);
    EXPECT_EQ(check_signature(file, std::span(keys).first(1), signer).value(), SignatureState::unknown_key);
    file[3] ^= std::byte{1};
    EXPECT_EQ(check_signature(file, keys, signer).value(), SignatureState::wrong);
    // Signing anew puts it right, by whomever.
    ASSERT_TRUE(sign_patch(file, other).has_value());
    EXPECT_EQ(check_signature(file, keys, signer).value(), SignatureState::right);
    EXPECT_EQ(signer, &keys[0]);
}

TEST(ToolsSigning, WhatIsNoPatchIsNotSigned) {
    auto key = SecretKey::from_seed("a", seed(1));
    auto file = small_patch();
    EXPECT_FALSE(sign_patch(std::span(file).first(file.size() - 1), key).has_value());
    EXPECT_FALSE(sign_patch({}, key).has_value());
}

}  // namespace
}  // namespace graft::tools
