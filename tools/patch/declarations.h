// What a hand-written source declares (formats/klp_declare.h), read from its object's section.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "formats/klp.h"
#include "formats/klp_declare.h"
#include "tools/patch/object.h"

namespace graft::tools {

struct Declared {
    formats::DeclarationKind kind;
    u32 order = 0;  // in the source
    u32 position = 0;
    std::string text;
    std::optional<u32> old_symbol;  // index into the object's symbols
    std::optional<u32> new_symbol;
    formats::StateDeclaration state{};                                             // its addresses mean nothing
    std::array<std::optional<u32>, formats::kKlpCallbackCount> state_callbacks{};  // by KlpCallback
};

PackResult<std::vector<Declared>> read_declarations(const Object& object);

// "replace", "hold", …
const char* kind_name(formats::DeclarationKind kind);

}  // namespace graft::tools
