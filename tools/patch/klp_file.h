// The finished patch file: an object that holds what the patch brings, the metadata about it, and the envelope
// (docs/reference/patch-format.md). Every producer ends here.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "formats/klp.h"
#include "tools/patch/declarations.h"
#include "tools/patch/image.h"
#include "tools/patch/object.h"

namespace graft::tools {

struct KlpContents {
    struct Texts {
        std::string name, set, version, description, fixes, built_from, built_with;
    };
    struct Function {
        formats::KlpTag tag = formats::KlpTag::func;  // func or hold
        ImageFunction old_function;
        u32 new_symbol = 0;  // of the object; 0 for a hold
    };
    struct State {
        std::string name;
        formats::KlpState record;  // callbacks are symbols of the object
    };

    Texts texts;
    bool endless = false;
    std::vector<Function> functions;
    std::vector<State> states;
    std::vector<std::pair<u32, VirtAddr>> references;  // undefined symbol of the object, its place in the image
};

// The state that a source declares, unless it breaks a rule or has the id of one of `others`. `path` for messages.
PackResult<KlpContents::State> make_state(const std::string& path, const Declared& declared,
                                          const std::vector<KlpContents::State>& others);

// What the compiler wrote about itself, cut at what a text may hold; empty when it wrote nothing.
std::string compiler_of(const Object& object);

std::string build_id_text(const formats::KlpBuildId& build_id);

// The bytes of the unsigned `.klp`. The same object, contents and build-id give the same bytes. `object` has no
// metadata yet.
PackResult<std::vector<std::byte>> write_klp(Object object, const KlpContents& contents,
                                             const formats::KlpBuildId& build_id);

}  // namespace graft::tools
