#include "arch/x86_64/pure/poke_plan.h"

namespace graft::arch {

namespace {

constexpr u64 kFetchWord = 8;

bool is_site_encoding(const SiteBytes& bytes) {
    return bytes == kSiteNop || is_site_jump(bytes);
}

}  // namespace

Result<void, PokeRefusal> check_pokes(std::span<const Poke> pokes, const TextReader& text) {
    VirtAddr end_of_previous;
    for (const Poke& poke : pokes) {
        auto error = [&poke](PokeFault fault, const SiteBytes& found) {
            return std::unexpected(PokeRefusal{fault, poke.site, poke.expected, found});
        };
        if (poke.site < end_of_previous) return error(PokeFault::not_ascending, {});
        end_of_previous = poke.site + kSiteSize;
        if (poke.site.value % kFetchWord > kFetchWord - kSiteSize) return error(PokeFault::crosses_word, {});
        if (!is_site_encoding(poke.expected)) return error(PokeFault::not_a_site, poke.expected);
        if (!is_site_encoding(poke.wanted)) return error(PokeFault::not_a_site, poke.wanted);
        SiteBytes found = text.read(poke.site);
        if (found != poke.expected) return error(PokeFault::unexpected_bytes, found);
    }
    return {};
}

}  // namespace graft::arch
