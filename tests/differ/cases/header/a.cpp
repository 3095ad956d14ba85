#include "tests/differ/cases/header/a.h"
__attribute__((noinline)) int in_a(int value) {
    return shared_inline(value) + 1;
}
extern "C" void root_header() {
    in_a(1);
}
