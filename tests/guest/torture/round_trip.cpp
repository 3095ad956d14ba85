#include "tests/guest/torture/changing.h"

namespace graft::torture {

u64 round_trip(Round& round, Touchable& touchable) {
    u64 value = first(round, 2);
    value = checked(round, value);
    if (round.depth != 0) value += descend(round, round.depth);
    value += touchable.touch(round);
    return second(round, value);
}

}  // namespace graft::torture
