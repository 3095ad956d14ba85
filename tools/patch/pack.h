// The making of a patch from an object: what mkpatch does, without files.
//
// The object says in its section `.graft.declare` (patch/author.h) what it replaces and holds. pack() finds the old
// functions and every undefined symbol in the image, checks what can be checked before the patch meets a running
// system, drops what isn't loaded, and writes the metadata and the envelope (docs/reference/patch-format.md).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tools/patch/image.h"
#include "tools/patch/object.h"

namespace graft::tools {

struct PackOptions {
    // Non-empty ones take the place of what the source declares.
    std::string name;
    std::string set;
    std::string version;
    std::string description;
    std::string fixes;
    std::map<std::string, u32> positions;  // of undefined symbols whose names the image has more than once
};

struct PackSummary {
    std::string name;
    std::vector<std::string> functions;  // readable names of the replaced ones
    std::vector<std::string> states;     // name, id, version
    usize holds = 0;
    usize references = 0;
    bool endless = false;
};

// The bytes of the `.klp`. The same object, image and options give the same bytes.
PackResult<std::vector<std::byte>> pack(Object object, const Image& image, const PackOptions& options,
                                        PackSummary* summary = nullptr);

// Does the function's code hold a way out: a return, or a jump to other code? Empty when it can't be decoded.
std::optional<bool> can_be_left(const Object& object, const ObjectSymbol& function);

}  // namespace graft::tools
