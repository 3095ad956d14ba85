// Of another set: its transition comes and goes while a measured patch is on probation.
#include "patch/author.h"
#include "tests/guest/rules/work.h"

GRAFT_PATCH("aside");

namespace graft::rules_test {
namespace {

u64 spin_aside(u64 rounds) {
    for (volatile u64 round = 0; round < rounds;) round = round + 1;
    return rounds;
}

}  // namespace

GRAFT_REPLACE(spin, spin_aside);

}  // namespace graft::rules_test
