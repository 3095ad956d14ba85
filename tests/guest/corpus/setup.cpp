// What runs at the start only: constructors, set_up(), and what these leave behind for the others.
#include "tests/guest/corpus/setup.h"

#include "tests/guest/corpus/probes.h"

namespace corpus {
namespace {

[[gnu::noinline]] long ask_machine(long what) {
    return what + 3;
}

class Registry {
public:
    explicit Registry(long base) : base_(ask_machine(base)) {}

    long base() const { return base_; }

private:
    long base_;
};

Registry registry(20);
long table[4];
long limit;

[[gnu::noinline]] void fill_table() {
    for (long i = 0; i < 4; ++i) table[i] = i * 2;
}

[[gnu::noinline]] long weighted(long value) {
    return value * 5 + limit;
}

}  // namespace

void set_up() {
    limit = 30;
    fill_table();
}

}  // namespace corpus

long probe_constructed() {
    return corpus::registry.base();
}

long probe_setup() {
    return corpus::weighted(corpus::table[3]);
}
