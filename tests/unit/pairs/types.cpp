// Types before and after a diff, one phenomenon each; compiled twice, the second time with AFTER.

namespace pairs {

using Number = unsigned int;
using Count = Number;

// No changes: a typedef is renamed, a type moves within the file, a member gets const, a struct is renamed.
#ifdef AFTER
struct Moved {
    int a;
    long b;
};
struct NewName {
    int x, y;
};
struct Unchanged {
    const Count count;
    Moved moved;
    NewName point;
    static int total;
    int get() const { return static_cast<int>(count); }
};
#else
struct OldName {
    int x, y;
};
struct Moved {
    int a;
    long b;
};
struct Unchanged {
    unsigned int count;
    Moved moved;
    OldName point;
    int get() const { return static_cast<int>(count); }
};
#endif

struct InPadding {
    char kind;
#ifdef AFTER
    char flags;
#endif
    int value;
};

struct Removed {
    int first;
    char second;
#ifndef AFTER
    char third;
#endif
};

struct Reordered {
#ifdef AFTER
    int length;
    int offset;
#else
    int offset;
    int length;
#endif
};

struct Inner {
    int a;
#ifdef AFTER
    int added;
#endif
    int b;
};
struct Outer {
    int head;
    Inner inner[2];
    int tail;
};
struct PointsAtInner {
    Inner* inner;
    int after;
};

struct Renamed {
#ifdef AFTER
    int fresh_name;
#else
    int old_name;
#endif
    int other;
};

struct Signed {
#ifdef AFTER
    unsigned value;
#else
    int value;
#endif
};

struct Retyped {
#ifdef AFTER
    float value;
#else
    int value;
#endif
};

struct Bits {
    unsigned low : 3;
#ifdef AFTER
    unsigned high : 6;
#else
    unsigned high : 5;
#endif
};

struct Unnamed {
    int tag;
    union {
        int number;
#ifdef AFTER
        long wide;
#endif
        char text[8];
    };
};

struct Sized {
#ifdef AFTER
    char name[24];
#else
    char name[16];
#endif
};

struct Callback {
#ifdef AFTER
    void (*function)(void*, int);
#else
    void (*function)(void*);
#endif
};

struct Base {
    int base;
};
#ifdef AFTER
struct Derived : Base {
    int own;
};
#else
struct Derived {
    int own;
};
#endif

enum class Colour {
    red,
#ifdef AFTER
    orange,
#endif
    yellow
};

template <typename T>
struct Box {
    T value;
#ifdef AFTER
    bool full;
#endif
};

struct Tree {
    Tree* left;
    Tree* right;
#ifdef AFTER
    int weight;
#endif
};

typedef struct {
    int id;
#ifdef AFTER
    int owner;
#endif
} named_by_typedef;

#ifdef AFTER
struct OnlyAfter {
    int a;
};
OnlyAfter only_after;
#else
struct OnlyBefore {
    long a;
};
OnlyBefore only_before;
#endif

Unchanged unchanged{1, {1, 2}, {3, 4}};
#ifdef AFTER
int Unchanged::total;
#endif
InPadding in_padding;
Removed removed;
Reordered reordered;
Outer outer;
PointsAtInner points_at_inner;
Renamed renamed;
Signed with_sign;
Retyped retyped;
Bits bits;
Unnamed unnamed;
Sized sized;
Callback callback;
Derived derived;
Colour colour;
Box<int> box;
Tree* tree;
named_by_typedef by_typedef;

int uses_outer(const Outer& one) {
#ifdef AFTER
    return one.tail + 1;
#else
    return one.tail;
#endif
}

int closures(int a, int b) {
#ifdef AFTER
    auto above = [&] { return a * 3; };
    (void)above();
#endif
    auto first = [&] { return a + 1; };
    auto second = [a, b] { return a * b; };
    return first() + second();
}

int local(int value) {
    struct Pair {
        int a;
#ifdef AFTER
        int extra;
#endif
        int b;
    };
    Pair pair{};
    pair.a = value;
    pair.b = value + 1;
    return pair.a * pair.b;
}

}  // namespace pairs
