#include "formats/version.h"

#include <charconv>

namespace graft::formats {

std::optional<PatchVersion> parse_patch_version(std::string_view text) {
    PatchVersion version;
    const char* at = text.data();
    const char* end = at + text.size();
    for (u32& number : version.numbers) {
        auto [stop, error] = std::from_chars(at, end, number);
        if (error != std::errc{}) return std::nullopt;
        if (stop == end) return version;
        if (*stop != '.') return std::nullopt;
        at = stop + 1;
    }
    return std::nullopt;  // a fifth number
}

}  // namespace graft::formats
