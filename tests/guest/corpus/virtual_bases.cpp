#include "tests/guest/corpus/virtual_bases.h"

#include "tests/guest/corpus/probes.h"

namespace corpus {

long Ground::height() const {
    return level_;
}

long Ground::width() const {
    return level_ * 10;
}

[[gnu::noinline]] Wall::Wall() : seen_(width()) {}

long Wall::height() const {
    return level_ + 1;
}

long House::height() const {
    return level_ + 2;
}

long House::width() const {
    return level_ * 20;
}

long width_of_wall() {
    House house;
    return house.seen_while_built();
}

long width_of_house() {
    House house;
    const Ground* volatile ground = &house;
    return ground->width() + ground->height();
}

}  // namespace corpus

long probe_virtual_bases() {
    return corpus::width_of_wall() * 100 + corpus::width_of_house();
}
