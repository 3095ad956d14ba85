// KTAP: results as lines on the console, one a test, for tests/run.py.
#pragma once

#include <string_view>

#include "base/text.h"
#include "base/types.h"
#include "kernel/console.h"
#include "kernel/power.h"

namespace graft::tests {

class Ktap {
public:
    explicit Ktap(u32 planned) {
        Text<64> line;
        line.append("KTAP version 1\n1..", planned, "\n");
        kernel::console_write(line.view());
    }

    // Runs a test that returns null when all is well, else what is wrong.
    template <typename Test>
    void run(std::string_view name, Test&& test) {
        const char* failure = test();
        report(failure == nullptr, name, failure ? std::string_view(failure) : std::string_view());
    }

    // `detail` is printed with a failure.
    void report(bool passed, std::string_view name, std::string_view detail = {}) {
        ++number_;
        if (!passed) ++failed_;
        Text<300> line;
        line.append(passed ? "ok " : "not ok ", number_, " - ", name);
        if (!passed && !detail.empty()) line.append(" # ", detail);
        line.append("\n");
        kernel::console_write(line.view());
    }

    u32 failed() const { return failed_; }
    // Ends the machine; its exit code says whether all have passed.
    [[noreturn]] void finish() const { kernel::exit_with(failed_ == 0 ? kernel::kExitSuccess : kernel::kExitFailure); }

private:
    u32 number_ = 0;
    u32 failed_ = 0;
};

}  // namespace graft::tests

// In a test: returns the condition as what is wrong.
#define KTAP_CHECK(condition)                \
    do {                                     \
        if (!(condition)) return #condition; \
    } while (false)
