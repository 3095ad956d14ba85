// Functions as values: kept in data, compared, called much later.
#include "tests/guest/corpus/probes.h"

extern "C" long corpus_sum(long left, long right);

namespace corpus {

using Handler = long (*)(long);

[[gnu::noinline]] long on_arrival(long value) {
    return value + 1;
}

[[gnu::noinline]] long on_departure(long value) {
    return value + 2;
}

namespace {

Handler installed = on_arrival;
Handler spare = nullptr;
Handler kept = nullptr;

// Named nowhere but in keep().
long on_kept(long value) {
    return value + 9;
}

[[gnu::noinline]] void keep() {
    if (kept == nullptr) kept = on_kept;
}

[[gnu::noinline]] long call_kept(long value) {
    return kept(value);
}

[[gnu::noinline]] long call_installed(long value) {
    return installed(value);
}

// 1 when what is installed is what this function takes for it.
[[gnu::noinline]] long is_installed() {
    return installed == on_arrival ? 1 : 0;
}

[[gnu::noinline]] void install_again() {
    installed = on_arrival;
}

[[gnu::noinline]] long call_spare(long value) {
    return spare != nullptr ? spare(value) : 0;
}

[[gnu::noinline]] long nobody_calls_departure() {
    return on_departure(5);
}

[[gnu::noinline]] long added(long value) {
    return corpus_sum(value, 4);
}

}  // namespace
}  // namespace corpus

long probe_callback() {
    corpus::install_again();
    return corpus::call_installed(10) * 10 + corpus::is_installed();
}

long probe_spare() {
    return corpus::call_spare(3);
}

long probe_kept() {
    corpus::keep();
    return corpus::call_kept(1);
}

long probe_departure() {
    return corpus::nobody_calls_departure();
}

long probe_assembly() {
    return corpus::added(5);
}
