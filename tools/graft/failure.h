// Failure: why a command did not do what it was asked, as text for standard error and as the exit code that goes with
// it. Context: host only; single-threaded.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"

namespace graft::tool {

// The exit codes are part of the command's interface (docs/reference/cli.md).
enum class ExitCode : int {
    done = 0,
    refused = 1,        // by the guest, or by a check on the host
    usage = 2,          // the command line makes no sense
    nothing_to_do = 3,  // the system is already as it was asked to be
    no_connection = 4,  // nobody answers, the line went dead, or the guest restarted
    timed_out = 5,      // --timeout passed first, or a transition's deadline did
};

struct Failure {
    ExitCode code = ExitCode::refused;
    std::string text;  // lower case, names thing and reason, no newline
};

template <typename T>
using Outcome = Result<T, Failure>;

inline std::unexpected<Failure> refused(std::string text) {
    return fail(Failure{ExitCode::refused, std::move(text)});
}
inline std::unexpected<Failure> misused(std::string text) {
    return fail(Failure{ExitCode::usage, std::move(text)});
}
inline std::unexpected<Failure> nothing_to_do(std::string text) {
    return fail(Failure{ExitCode::nothing_to_do, std::move(text)});
}
inline std::unexpected<Failure> no_connection(std::string text) {
    return fail(Failure{ExitCode::no_connection, std::move(text)});
}
inline std::unexpected<Failure> timed_out(std::string text) {
    return fail(Failure{ExitCode::timed_out, std::move(text)});
}

// "thing: No such file or directory" from errno at the time of the call.
Failure system_failure(ExitCode code, const std::string& thing);

}  // namespace graft::tool
