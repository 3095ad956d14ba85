// What a hand-written patch says about itself has no place in a diff.
#include "patch/author.h"

extern "C" int sink(int);
__attribute__((noinline)) int declared_old(int value) {
    return sink(value);
}
#ifdef PATCHED
static int declared_new(int value) {
    return sink(value) + 1;
}
GRAFT_REPLACE(declared_old, declared_new);
#endif
extern "C" void root_declaration() {
    declared_old(1);
}
