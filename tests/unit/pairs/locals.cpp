// Types in function bodies: the first may change with its function, the others may have objects that outlive it.

namespace locals {

volatile int sink;

int on_the_stack(int value) {
    struct Pair {
        volatile int a;
#ifdef AFTER
        volatile int extra;
#endif
        volatile int b;
    };
    Pair pair{};
    pair.a = value;
    pair.b = value + 1;
    return pair.a * pair.b;
}

int in_a_static(int value) {
    struct Kept {
        int a;
#ifdef AFTER
        char flag;
#else
        char flag[2];
#endif
        int b;
    };
    static Kept kept;
    kept.a += value;
    kept.b += kept.a;
    return kept.b + sink;
}

template <typename T>
struct Holder {
    T held;
};
int in_another_type(int value) {
    struct Inner {
        volatile int a;
#ifdef AFTER
        volatile int extra;
#endif
    };
    Holder<Inner> holder{};
    holder.held.a = value;
    return holder.held.a;
}

}  // namespace locals
