// Objects with constructors at their first use, and their guards.
#include "tests/guest/corpus/probes.h"

namespace corpus {
namespace {

long constructions;

[[gnu::noinline]] long first_value() {
    return ++constructions;
}

struct Ledger {
    long entries;
    explicit Ledger(long start) : entries(start) {}
};

[[gnu::noinline]] long book(long amount) {
    static Ledger ledger(first_value() * 10);
    ledger.entries += 0;
    return ledger.entries + amount;
}

// Never duplicated: counts what was said.
[[gnu::noinline]] bool say_once() {
    static bool said = false;
    if (said) return false;
    said = true;
    return true;
}

long said_count;

[[gnu::noinline]] long warn(long value) {
    if (say_once()) ++said_count;
    return value + said_count;
}

class Box {
public:
    [[gnu::noinline]] explicit Box(long size);
    [[gnu::noinline]] ~Box();
    long size() const { return size_; }

private:
    long size_;
};

long boxes;

Box::Box(long size) : size_(size) {
    ++boxes;
}

Box::~Box() {
    --boxes;
}

[[gnu::noinline]] long boxed(long value) {
    Box box(value);
    return box.size() * 10 + boxes;
}

}  // namespace
}  // namespace corpus

long probe_guard() {
    return corpus::book(3) * 10 + corpus::constructions;
}

long probe_once() {
    return corpus::warn(20);
}

long probe_boxes() {
    return corpus::boxed(4) * 10 + corpus::boxes;
}
