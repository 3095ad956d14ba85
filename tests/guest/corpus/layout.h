// Types that live objects have.
#pragma once

#include "base/types.h"

namespace corpus {

using Amount = long;

struct Account {
    graft::u32 number;
    graft::u8 kind;  // three bytes of padding follow
    Amount balance;
    graft::u32 limit : 12;
    graft::u32 rate : 6;
    graft::u32 flags;
};

struct Entry {
    Account account;
    long history[4];
};

union Cell {
    long whole;
    int half;
};

struct Base {
    long common = 2;
};

struct Derived : Base {
    long own = 3;
};

Entry& entry(graft::usize index);
inline constexpr graft::usize kEntries = 3;

}  // namespace corpus
