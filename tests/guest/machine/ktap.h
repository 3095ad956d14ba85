// Results in the Kernel Test Anything Protocol, on the console.
#pragma once

#include <string_view>

#include "base/text.h"
#include "kernel/console.h"
#include "kernel/power.h"

namespace graft::test {

class Ktap {
public:
    explicit Ktap(u32 planned) {
        Text<64> text;
        text.append("KTAP version 1\n1..", planned, "\n");
        kernel::console_write(text.view());
    }

    // `detail` is printed with a failure.
    void report(bool passed, std::string_view name, std::string_view detail = {}) {
        Text<300> text;
        if (!passed) text.append("# ", name, ": ", detail, "\n");
        text.append(passed ? "ok " : "not ok ", ++number_, " - ", name, "\n");
        kernel::console_write(text.view());
        all_passed_ = all_passed_ && passed;
    }

    [[noreturn]] void finish() { kernel::exit_with(all_passed_ ? kernel::kExitSuccess : kernel::kExitFailure); }

private:
    u32 number_ = 0;
    bool all_passed_ = true;
};

}  // namespace graft::test
