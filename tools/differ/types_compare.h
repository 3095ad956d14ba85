// What a diff does to types that existed before it: by the members of structs, classes and unions, the values of
// enumerations, and what they are made of.
//
// Types are found by qualified name, wherever they stand. A type that only one side has is no change. Typedefs, const
// and volatile make no difference; neither does another name for the same members (a renamed struct), when it is met as
// the type of a member. Types of one name (closures of one function) are matched by equal layout first.
//
// A change is of the *layout* when code of one side would misread an object of the other side, and of the *meaning*
// when the same bytes hold and only the reading of them may have changed (a member renamed, signed now unsigned).
#pragma once

#include <string>
#include <vector>

#include "tools/differ/debug_info.h"

namespace graft::differ {

struct TypeChange {
    std::string name;  // qualified
    std::string keyword;
    bool layout = false;
    std::vector<std::string> details;  // "member 'length' moved from byte 4 to byte 8"
    std::string because;  // when only a contained type changed: that type's name. Empty: the change began here
    u32 before = 0;       // nodes
    u32 after = 0;

    std::string text() const;  // the details in one line, shortened when there are many
};

std::vector<TypeChange> compare_types(const DebugInfo& before, const DebugInfo& after);

}  // namespace graft::differ
