// Canary: a load whose transition is held half-way on purpose. Only a share of the tasks moves, and everybody else
// stays on the old side until the canary is promoted (then all move, and the transition ends as any) or taken back.
//
// The share is taken of the tasks that are neither idle nor Graft's own; the others move with the promotion only.
//
//   policy       | in the share at the beginning        | born meanwhile
//   -------------+--------------------------------------+----------------------------------------------------
//   N%           | every 100/N-th, rounded up           | as many as keep the share at N%, rounded up
//   tasks=TEXT   | those whose names match the pattern  | those whose names match the pattern
//   new          | nobody                               | everybody
//
// Who is in the share stays in it, who isn't doesn't join it: exits change the share, and only births bring one of N%
// back. One is born on the other side than its creator's only if that one is outside every changing function; else the
// newborn is on its creator's side, and belongs to the share accordingly.
#pragma once

#include <string_view>

#include "base/text.h"
#include "base/types.h"
#include "patch/refusal.h"

namespace graft::patch {

inline constexpr usize kMaxCanaryPattern = 64;

struct CanaryPolicy {
    enum class Kind : u8 {
        none,  // no canary: everybody moves
        percent,
        names,
        births,
    };
    Kind kind = Kind::none;
    u8 percent = 0;                    // 1 … 100
    Label<kMaxCanaryPattern> pattern;  // names: `*` stands for any characters, `?` for one

    explicit operator bool() const { return kind != Kind::none; }
};

// Of the tasks that a share is taken of. `moved` <= `chosen` <= `total`.
struct ShareCount {
    u64 total = 0;
    u64 chosen = 0;  // in the share
    u64 moved = 0;   // of these, on the new side
};

// How many of so many tasks are `percent` of them, rounded up.
constexpr u64 share_of(u64 tasks, u8 percent) {
    return tasks / 100 * percent + (tasks % 100 * percent + 99) / 100;
}

// Does the whole name match? Takes time in proportion to the two lengths' product at worst. Context: any.
bool matches(std::string_view pattern, std::string_view name);

// Does a task of this name belong to the share? `before`: counted without it. Context: any.
bool belongs(const CanaryPolicy& policy, std::string_view name, const ShareCount& before, bool is_newborn);

// As a load asks for it: `10%`, `tasks=web*`, `new`; nothing when there is none.
void render(const CanaryPolicy& policy, TextBuffer& out);

}  // namespace graft::patch
