// Does a function of an object have a way out? Decoded instruction by instruction, as it stands in the object.
#include <algorithm>

#include <Zydis/Zydis.h>

#include "tools/patch/pack.h"

namespace graft::tools {
namespace {

bool has_relocation(const ObjectSection& section, u64 begin, u64 end) {
    return std::any_of(section.relocations.begin(), section.relocations.end(), [&](const ObjectRelocation& relocation) {
        return relocation.offset >= begin && relocation.offset < end;
    });
}

}  // namespace

std::optional<bool> can_be_left(const Object& object, const ObjectSymbol& function) {
    const ObjectSection& section = object.sections[function.section];
    if (function.size > section.contents.size() || function.value > section.contents.size() - function.size)
        return std::nullopt;

    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    u64 end = function.value + function.size;
    for (u64 at = function.value; at < end;) {
        ZydisDecodedInstruction instruction;
        if (!ZYAN_SUCCESS(
                ZydisDecoderDecodeInstruction(&decoder, nullptr, section.contents.data() + at, end - at, &instruction)))
            return std::nullopt;
        u64 next = at + instruction.length;
        if (instruction.meta.category == ZYDIS_CATEGORY_RET) return true;
        // A direct jump whose target is left to the linker goes to other code; jumps within the function are resolved.
        bool direct_jump = instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR &&
                           (instruction.meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
                            instruction.meta.category == ZYDIS_CATEGORY_COND_BR) &&
                           instruction.raw.imm[0].is_relative;
        if (direct_jump && has_relocation(section, at, next)) return true;
        at = next;
    }
    return false;
}

}  // namespace graft::tools
