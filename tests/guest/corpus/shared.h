// What several units include: inline functions, templates, constants, enumerations, inline variables.
#pragma once

#define CORPUS_FACTOR 6
#define CORPUS_SPARE 9

namespace corpus {

enum class Grade { low = 1, middle = 2, high = 3 };

inline constexpr long kOffset = 40;

// Small enough to be inlined everywhere.
inline long clamp(long value) {
    return value > 50 ? 50 : value;
}

// Inlined nowhere; each unit has a copy, of which the image keeps one.
[[gnu::noinline]] inline long measure(long value) {
    return value * 2 + 1;
}

// In a unit that asks for it, inlined in spite of its size.
[[gnu::always_inline]] inline long mixed(long value) {
    long low = value & 0xff;
    long high = value >> 8;
    return low * 3 + high;
}

// One count for all units.
inline long shared_count = 100;

[[gnu::noinline]] inline long next_shared() {
    static long calls = 0;
    ++calls;
    return ++shared_count;
}

template <typename T>
struct Counter {
    static inline T total = 0;
    static T add(T value) {
        total += value;
        return value + 1;
    }
};

template <int kSteps>
[[gnu::noinline]] long climb(long start) {
    long place = start;
    for (int i = 0; i < kSteps; ++i) place += i + 1;
    return place;
}

constexpr long squared(long value) {
    return value * value;
}

inline long pick(long value) {
    return value + 1;
}

}  // namespace corpus
