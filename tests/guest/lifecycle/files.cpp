// The patches lie in the first boot module one behind the other, and are told apart from the end: each one's last bytes
// are its envelope, which says how long it is.
#include <cstring>

#include "formats/klp.h"
#include "kernel/boot_patches.h"
#include "tests/guest/lifecycle/driver.h"

namespace graft::lifecycle {

namespace {

constexpr usize kObjectSizeOffset = 16;  // in the envelope

std::array<std::span<const std::byte>, kFileCount> g_files;

}  // namespace

bool find_files() {
    auto rest = kernel::boot_patch(0);
    for (usize file = kFileCount - 1; file > 0; --file) {
        if (rest.size() < formats::kKlpEnvelopeSize) return false;
        u64 object_size = 0;
        auto envelope = rest.last(formats::kKlpEnvelopeSize);
        std::memcpy(&object_size, envelope.data() + kObjectSizeOffset, sizeof object_size);
        if (object_size > rest.size() - envelope.size()) return false;
        usize size = static_cast<usize>(object_size) + envelope.size();
        g_files[file] = rest.last(size);
        rest = rest.first(rest.size() - size);
    }
    return rest.empty();
}

std::span<const std::byte> file_of(File file) {
    return g_files[static_cast<usize>(file)];
}

}  // namespace graft::lifecycle
