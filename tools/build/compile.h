// Compiling the translation units that the edits reach: once as they were, which must give the baseline's objects bit
// for bit, and once as they are now.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tools/build/baseline.h"
#include "tools/build/jobs.h"
#include "tools/graft/failure.h"

namespace graft::build {

// A unit to compile. One that the edits remove has no `source`, one that they add no `unit`.
struct ReachedUnit {
    const BaselineUnit* unit = nullptr;
    std::string source;
    Recipe recipe;
    std::filesystem::path patched;  // the object; empty until compiled, and for a removed unit

    const std::string& name() const { return source.empty() ? unit->source : source; }
};

struct CompilePlace {
    const Baseline& baseline;
    Interruption& interruption;
    std::filesystem::path scratch;
    std::filesystem::path numbered;  // the sources to compile
    std::filesystem::path patched;   // the same as the author wrote them, for what the compiler has to say
    JobOptions jobs;
};

struct Compiled {
    std::vector<std::string> warnings;  // of macros that #if takes for 0 now
    std::vector<std::string> notes;
};

// Refused: a compiler of another version, a baseline object that comes out differently, a patched source that doesn't
// compile (the text is the compiler's).
tool::Outcome<Compiled> compile_units(const CompilePlace& place, std::vector<ReachedUnit>& units);

// Compiles the patched sides of `units` again, out of place.numbered: are there new objects of all of them? If not,
// they keep those that they have.
tool::Outcome<bool> compile_again(const CompilePlace& place, const std::vector<ReachedUnit*>& units);

}  // namespace graft::build
