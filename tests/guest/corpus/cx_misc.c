/* What only C has, or has in its own way: static locals with numbers, aliases, variadic functions, helpers that invite
   the compiler to make clones of them. */
#include <stdarg.h>
#include <stddef.h>

#include "tests/guest/corpus/cx_opt.h"
#include "tests/guest/corpus/probes.h"

/* ---- static locals of one name ---- */

__attribute__((noinline)) static unsigned first_number(void) {
    static unsigned n = 1000;
    n += 1;
    return n;
}

__attribute__((noinline)) static unsigned second_number(void) {
    static unsigned n = 5000;
    n += 2;
    return n;
}

/* The steps of both, or -1 when one of them has begun anew. */
long probe_static_locals(void) {
    static unsigned first_seen;
    static unsigned second_seen;
    unsigned first = first_number();
    unsigned second = second_number();
    long step = (long)(first_number() - first) * 100 + (long)(second_number() - second);
    int anew = first <= first_seen || second <= second_seen;
    first_seen = first;
    second_seen = second;
    return anew ? -1 : step;
}

/* A static local of a function that is inlined into two others. */
static inline unsigned ticket(void) {
    static unsigned next_ticket;
    return ++next_ticket;
}

__attribute__((noinline)) static unsigned left_ticket(void) {
    return ticket();
}

__attribute__((noinline)) static unsigned right_ticket(void) {
    return ticket();
}

/* 1 while both draw from one roll. */
long probe_inlined_static(void) {
    unsigned left = left_ticket();
    return (long)(right_ticket() - left);
}

/* ---- clones ---- */

/* Always called with the same first argument. */
__attribute__((noinline)) static long scaled(long factor, long value, long unused) {
    (void)unused;
    return factor * value + 1;
}

__attribute__((noinline)) static long scaled_twice(long value) {
    return scaled(4, value, 1) + scaled(4, value + 1, 2);
}

long probe_clone(void) {
    return scaled_twice(10);
}

/* A rare branch that is split off from its function. */
__attribute__((cold, noinline)) static long complain(long value) {
    return -value;
}

__attribute__((noinline)) static long checked(long value) {
    if (__builtin_expect(value > 90, 0)) {
        long bad = complain(value);
        return bad * 2;
    }
    return value + 1;
}

long probe_cold(void) {
    return checked(10) + checked(91);
}

/* ---- aliases ---- */

__attribute__((noinline)) long cx_doubled(long value);
long cx_twofold(long value) __attribute__((alias("cx_doubled")));

long cx_doubled(long value) {
    return value * 2;
}

long probe_alias(void) {
    return cx_doubled(4) * 100 + cx_twofold(5);
}

/* ---- variadic, recursive ---- */

__attribute__((noinline)) static long sum_of(int count, ...) {
    va_list values;
    long sum = 0;
    va_start(values, count);
    for (int i = 0; i < count; ++i) sum += va_arg(values, long);
    va_end(values);
    return sum;
}

long probe_variadic(void) {
    return sum_of(3, 1L, 20L, 300L);
}

__attribute__((noinline)) static long depth_of(long n) {
    if (n <= 0) return 1;
    return depth_of(n - 1) + 1;
}

long probe_recursive(void) {
    return depth_of(6);
}

/* ---- stores of constants to static objects, ends of arrays ---- */

static int word_mode;
static unsigned char byte_mode;
static short short_mode;
static long row[6] = {1, 2, 3, 4, 5, 6};
static long behind_row = 700;

__attribute__((noinline)) static void set_modes(void) {
    word_mode = 5;
    byte_mode = 6;
    short_mode = 7;
}

long probe_modes(void) {
    set_modes();
    return word_mode * 100L + byte_mode * 10L + short_mode;
}

__attribute__((noinline)) static long sum_of_row(void) {
    long sum = 0;
    for (const long* place = row; place != row + 6; ++place) sum += *place;
    return sum;
}

long probe_row(void) {
    return sum_of_row() + behind_row;
}

/* ---- a signature that callers don't depend on, a static one that they do ---- */

__attribute__((noinline)) static long area(long width, long height) {
    return width * height;
}

__attribute__((noinline)) static long two_areas(void) {
    return area(2, 3) + area(4, 5);
}

long probe_signature(void) {
    return two_areas();
}

/* ---- objects that go, or change their scope ---- */

long cx_public_count = 40;
static long rarely_used = 2;

__attribute__((noinline)) static long counted(void) {
    return cx_public_count + rarely_used;
}

long probe_scope(void) {
    return counted();
}

/* ---- an option that old code asks for ---- */

__attribute__((noinline)) static long optional_part(void) {
#if CX_WITH_STATS
    return 8;
#else
    return 1;
#endif
}

long probe_option(void) {
    return optional_part();
}

/* ---- an object without a size ---- */

__extension__ struct cx_nothing {};
static struct cx_nothing nothing[1];

__attribute__((noinline)) static long address_of_nothing(const void* where) {
    return where == (const void*)nothing ? 3 : 4;
}

long probe_nothing(void) {
    return address_of_nothing(nothing);
}
