/* Names and texts: literals shared by functions, tails of literals, tables of texts, __func__. */
#include <stddef.h>

#include "tests/guest/corpus/probes.h"

static long sum_of(const char* text) {
    long sum = 0;
    for (; *text != '\0'; ++text) sum = sum * 31 + *text;
    return sum % 100000;
}

static const char* const names[] = {"closed", "listening", "established"};

__attribute__((noinline)) static const char* greeting(void) {
    return "hello, common world";
}

__attribute__((noinline)) static const char* answer(void) {
    return "hello, common world";
}

__attribute__((noinline)) static const char* tail(void) {
    return "common world";
}

__attribute__((noinline)) static const char* own_name(void) {
    return __func__;
}

__attribute__((noinline)) static const char* other_name(void) {
    return __func__;
}

long probe_text_greeting(void) {
    return sum_of(greeting());
}

long probe_text_answer(void) {
    return sum_of(answer());
}

long probe_text_tail(void) {
    return sum_of(tail());
}

long probe_text_func(void) {
    return sum_of(own_name()) + sum_of(other_name());
}

long probe_text_table(void) {
    long sum = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) sum += sum_of(names[i]);
    return sum;
}
