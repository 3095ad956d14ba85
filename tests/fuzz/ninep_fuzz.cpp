// 9P: the input is the stream of bytes from a client. It goes to the decoder, message by message, and to a server with
// the whole control tree behind it. What the decoder takes, the encoder must give back byte for byte.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "control/server.h"
#include "control/tree.h"
#include "formats/ninep.h"
#include "tests/unit/control_fake_system.h"

namespace {

using namespace graft;
namespace np = graft::formats::ninep;

void check_codec(std::span<const std::byte> bytes, np::Dialect dialect) {
    auto message = np::decode(bytes, dialect);
    if (!message) {
        Text<512> text;
        np::describe(message.error(), text);
        if (text.size() == 0) std::abort();
        return;
    }
    std::vector<std::byte> again(bytes.size());
    auto size = np::encode(*message, dialect, again);
    if (!size || *size != bytes.size() || !std::ranges::equal(again, bytes)) std::abort();
}

// Each message gets the size field that fits, so that the fuzzer need not find it: the input's first byte of a message
// says how long it is.
std::vector<std::byte> next_message(std::span<const std::byte>& input) {
    usize length = 7 + std::to_integer<usize>(input[0]);
    usize taken = std::min(length - 4, input.size() - 1);
    std::vector<std::byte> message(4 + taken);
    std::memcpy(message.data() + 4, input.data() + 1, taken);
    u32 size = static_cast<u32>(message.size());
    std::memcpy(message.data(), &size, sizeof(size));
    input = input.subspan(1 + taken);
    return message;
}

void attach(control::Server& server) {
    std::byte bytes[256];
    auto size = np::encode({np::kNoTag, np::Tversion{1024, "9P2000.u"}}, np::Dialect::with_unix, bytes);
    server.receive(std::span(bytes).first(*size));
    size = np::encode({1, np::Tattach{0, np::kNoFid, "", "", 0}}, np::Dialect::with_unix, bytes);
    server.receive(std::span(bytes).first(*size));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto input = std::as_bytes(std::span(data, size));
    check_codec(input, np::Dialect::plain);
    check_codec(input, np::Dialect::with_unix);

    control::testing::FakeSystem system;
    system.add_patch("fix");
    system.log.push_back("line");
    control::ControlTree tree(system, patch::Source::network, 64 * 1024);
    control::Server server(tree, {.max_message = 1024, .max_fids = 16, .max_memory = 8192});
    if (!server.allocate()) return 0;
    attach(server);
    while (!input.empty()) {
        auto message = next_message(input);
        check_codec(message, np::Dialect::with_unix);
        usize taken = server.receive(message);
        server.consume_output(server.output().size());
        server.poll();
        if (taken != message.size()) server.receive(std::span(message).subspan(taken));
    }
    server.reset();
    if (tree.quota().used() != 0) std::abort();
    server.receive(std::as_bytes(std::span(data, size)));
    return 0;
}
