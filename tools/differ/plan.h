// What the patch has to carry, and what each of its references means: an address of the image, or a part of the patch.
//
// The roots are the changed functions that the image has, and initialisers that are new. Everything they refer to that
// the image doesn't have comes along: new functions and data, strings, constants, jump tables. What exists in the image
// stays there, whatever copy of it the patched objects hold.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "tools/differ/comparison.h"

namespace graft::differ {

struct Meaning {
    enum class Kind : u8 {
        image,    // `address`, under `name`
        carried,  // `place`
        loader,   // `name`, which the loader defines
    };
    Kind kind = Kind::image;
    std::string name;
    u64 address = 0;
    ItemPlace place;
};

class Plan {
public:
    // Fills comparison.carried. What can't be planned is refused in `result`.
    static Plan make(Comparison& comparison, Result& result);

    // What a reference of a carried item means; nothing when that was refused.
    std::optional<Meaning> meaning(const Carried& carried, const Reference& reference) const;
    // Does the patch replace the function that this patched item is?
    bool replaces(ItemPlace patched) const;

private:
    friend class Planner;

    // The place behind the call site of a changed function is that of the image's function: graft::patch::original().
    std::optional<Meaning> meaning(ItemPlace patched, i64 offset) const;
    bool registers_images_object(const Carried& carried, const Reference& reference) const;
    std::optional<Meaning> in_image(u64 address, i64 offset, const std::vector<std::string>& names) const;

    const Comparison* comparison_ = nullptr;
    std::map<ItemPlace, u32> carried_;              // → index in comparison.carried
    std::map<std::string, ItemPlace> definitions_;  // what patched units define and others see
    std::map<u64, ItemPlace> replaced_;             // by entry in the image
};

// The unit whose copy of an inline function, template, … decides: the one that the image has it from. Nothing when the
// image has it from a unit that isn't looked at.
std::optional<u32> owning_unit(const Comparison& comparison, const std::string& name);

}  // namespace graft::differ
