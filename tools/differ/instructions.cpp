#include "tools/differ/instructions.h"

#include <algorithm>

#include <Zydis/Zydis.h>

namespace graft::differ {
namespace {

ZydisDecoder make_decoder() {
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return decoder;
}

}  // namespace

std::optional<std::vector<u64>> instruction_starts(std::span<const std::byte> code) {
    static const ZydisDecoder decoder = make_decoder();
    std::vector<u64> starts;
    for (u64 at = 0; at < code.size();) {
        ZydisDecodedInstruction instruction;
        if (!ZYAN_SUCCESS(
                ZydisDecoderDecodeInstruction(&decoder, nullptr, code.data() + at, code.size() - at, &instruction)))
            return std::nullopt;
        starts.push_back(at);
        at += instruction.length;
    }
    return starts;
}

u64 instruction_at(const std::vector<u64>& starts, u64 offset) {
    auto next = std::upper_bound(starts.begin(), starts.end(), offset);
    return next == starts.begin() ? starts.front() : *(next - 1);
}

u64 instruction_end(const std::vector<u64>& starts, u64 offset, u64 size) {
    auto next = std::upper_bound(starts.begin(), starts.end(), offset);
    return next == starts.end() ? size : *next;
}

std::string instruction_text(std::span<const std::byte> code, u64 address) {
    ZydisDisassembledInstruction instruction;
    if (!ZYAN_SUCCESS(
            ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, address, code.data(), code.size(), &instruction)))
        return {};
    return instruction.text;
}

}  // namespace graft::differ
