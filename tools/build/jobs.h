// Commands run side by side, with what they say collected.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tools/build/interrupt.h"
#include "tools/graft/failure.h"

namespace graft::build {

struct Command {
    std::vector<std::string> words;   // the program first: a path, or a name that PATH has
    std::filesystem::path directory;  // where it runs
    std::filesystem::path output;     // the file that takes standard output and error
};

struct CommandEnd {
    int status = 0;    // exit status; 128 + signal when it was killed
    std::string text;  // what it wrote

    bool good() const { return status == 0; }
};

struct JobOptions {
    unsigned jobs = 1;                         // how many at a time
    std::filesystem::path temporary;           // the children's TMPDIR
    std::function<void(usize done)> progress;  // may be empty
};

// The ends, in the order of the commands. Children speak the language of machines (LC_ALL=C), read nothing, and see no
// repository and no configuration of git's.
tool::Outcome<std::vector<CommandEnd>> run_commands(Interruption& interruption, std::span<const Command> commands,
                                                    const JobOptions& options);

}  // namespace graft::build
