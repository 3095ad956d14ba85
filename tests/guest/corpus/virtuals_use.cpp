// Uses the classes of virtuals.h without knowing what stands behind the references.
#include "tests/guest/corpus/probes.h"
#include "tests/guest/corpus/virtuals.h"

long probe_thunk() {
    corpus::Valued& valued = corpus::some_valued();
    return valued.value(3) * 100 + valued.longer(9);
}

long probe_virtual() {
    const corpus::Shape& shape = corpus::some_shape();
    return shape.area() * 10 + shape.corners();
}
