// What the patch of this test changes: which version a task sees, and a function inside which a task makes another.
#pragma once

#include <string_view>

namespace graft::canary_test {

// True with the patch. No text: a pointer into the patch would keep it from being freed.
bool is_new();

// Of another patch.
bool unrelated();

// Makes a task that tells its version in the log, and waits for its end in here. A task that runs this is inside a
// changing function, so what it makes sees what it sees itself.
void make_inside(std::string_view name);

// Both versions of make_inside() do this.
void make_witness(std::string_view name);

}  // namespace graft::canary_test
