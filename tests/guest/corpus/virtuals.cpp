#include "tests/guest/corpus/virtuals.h"

namespace corpus {

long Square::area() const {
    return side_ * side_;
}

long Square::corners() const {
    return 4;
}

long Named::name() const {
    return 1;
}

long Valued::value(long more) {
    return held_ + more;
}

long Valued::longer(long more) {
    return held_ - more;
}

long Both::name() const {
    return 2;
}

long Both::value(long more) {
    return held_ * 10 + more;
}

// Too long to be inlined into its thunk.
[[gnu::noinline]] long Both::longer(long more) {
    long sum = 0;
    for (long i = 0; i < more; ++i) sum += (i ^ held_) % 7;
    return sum;
}

namespace {

Square square(6);
Both both;

}  // namespace

const Shape& some_shape() {
    return square;
}

Valued& some_valued() {
    return both;
}

}  // namespace corpus
