#include "tests/differ/cases/header/a.h"
__attribute__((noinline)) int in_b(int value) {
    return shared_inline(value) + 2;
}
extern "C" void root_header_b() {
    in_b(1);
}
