// Files that ask for trust: what the check of origin accepts must be exactly what was signed.
//
// The input's first byte says what the rest is:
//   0  the whole file: nobody has signed it
//   1  an object, which is signed and must be accepted, with the signer's name; then one bit of the file is flipped,
//   and
//      it must be refused
//   2  edits of a signed file (place, value): accepted only if they changed nothing
//   3  an envelope for a fixed object, as it is
#include <sodium.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/reader.h"
#include "patch/origin.h"
#include "tests/sim/still_machine.h"

namespace graft {
namespace {

using Bytes = std::vector<std::byte>;

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            std::fprintf(stderr, "%d: not so: %s\n", __LINE__, #condition); \
            std::abort();                                                   \
        }                                                                   \
    } while (false)

struct Signer {
    Signer() {
        std::array<u8, crypto_sign_ed25519_SEEDBYTES> seed{1, 2, 3};
        crypto_sign_ed25519_seed_keypair(row.key.data(), secret.data(), seed.data());
        std::memcpy(row.name_bytes.data(), "fuzzed", 6);
        row.id = {9, 8, 7, 6, 5, 4, 3, 2, 1};
    }

    Bytes sign(std::span<const std::byte> object) const {
        formats::KlpEnvelope envelope;
        envelope.object_size = object.size();
        envelope.key_id = row.id;
        Bytes file(object.begin(), object.end());
        auto append = [&] {
            auto encoded = formats::encode_klp_envelope(envelope);
            file.resize(object.size());
            file.insert(file.end(), encoded.begin(), encoded.end());
        };
        append();
        crypto_sign_ed25519_detached(envelope.signature.data(), nullptr,
                                     reinterpret_cast<const unsigned char*>(file.data()), object.size() + 40,
                                     secret.data());
        append();
        return file;
    }

    formats::TrustedKey row;
    std::array<u8, crypto_sign_ed25519_SECRETKEYBYTES> secret{};
};

bool accepts(const sim::StillMachine& machine, std::span<const std::byte> file) {
    auto origin = patch::check_origin(machine, file, patch::Source::serial);
    if (!origin) {
        Text<512> line;
        render(origin.error(), line);
        return false;
    }
    CHECK(origin->signer == "fuzzed");
    CHECK(origin->file.object.size() + formats::kKlpEnvelopeSize == file.size());
    return true;
}

void try_object(const sim::StillMachine& machine, const Signer& signer, Reader input) {
    if (input.remaining() < sizeof(u32)) return;
    u32 bit = input.read<u32>();
    Bytes object(input.remaining());
    auto rest = input.take(object.size());
    if (!object.empty()) std::memcpy(object.data(), rest.data(), object.size());
    Bytes file = signer.sign(object);
    CHECK(accepts(machine, file));
    file[bit / 8 % file.size()] ^= std::byte{1} << (bit % 8);
    CHECK(!accepts(machine, file));
}

void try_edits(const sim::StillMachine& machine, const Bytes& good, Reader input) {
    Bytes file = good;
    while (input.remaining() >= 3) {
        usize at = input.read<u16>() % file.size();
        file[at] = std::byte{input.read<u8>()};
    }
    CHECK(accepts(machine, file) == (file == good));
}

}  // namespace
}  // namespace graft

extern "C" int LLVMFuzzerTestOneInput(const graft::u8* data, graft::usize size) {
    using namespace graft;
    static sim::SimImage image(1);
    static sim::StillMachine machine(image);
    static const Signer signer;
    static const Bytes good = signer.sign(Bytes(300, std::byte{0x5a}));
    if (size == 0) return 0;
    machine.unsigned_accepted = false;
    machine.keys = {signer.row};
    auto input = std::as_bytes(std::span(data + 1, size - 1));
    switch (data[0] % 4) {
        case 0:
            // The fuzzer can't sign, but it can find the good file of case 2.
            CHECK(!accepts(machine, input) || std::ranges::equal(input, good));
            break;
        case 1:
            try_object(machine, signer, Reader(input));
            break;
        case 2:
            try_edits(machine, good, Reader(input));
            break;
        default: {
            Bytes file(good.begin(), good.end() - formats::kKlpEnvelopeSize);
            file.insert(file.end(), input.begin(), input.end());
            CHECK(!accepts(machine, file) || file == good);
        }
    }
    return 0;
}
