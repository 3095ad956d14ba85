// KTAP: results as lines on the console, one a test, for tests/run.py.
#pragma once

#include <string_view>

#include "base/text.h"
#include "base/types.h"
#include "kernel/console.h"

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
        ++number_;
        if (failure) ++failed_;
        Text<256> line;
        line.append(failure ? "not ok " : "ok ", number_, " - ", name);
        if (failure) line.append(" # ", failure);
        line.append("\n");
        kernel::console_write(line.view());
    }

    u32 failed() const { return failed_; }

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
