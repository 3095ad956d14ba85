// Types that live objects have.
#pragma once

#include "base/types.h"

namespace corpus {

using Amount = long;

struct Account {
    graft::u32 number = 0;
    graft::u8 kind = 0;  // three bytes of padding follow
    Amount balance = 0;
    graft::u32 limit : 12 = 0;
    graft::u32 rate : 6 = 0;
    graft::u32 flags = 0;
};

struct Entry {
    Account account;
    long history[4] = {};
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
