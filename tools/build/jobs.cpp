#include "tools/build/jobs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "tools/build/scratch.h"

namespace graft::build {

namespace fs = std::filesystem;
using tool::ExitCode;
using tool::Outcome;

namespace {

// What changes the meaning of a command without showing in it.
constexpr std::string_view kDropped[] = {"LC_",
                                         "LANG=",
                                         "LANGUAGE=",
                                         "TMPDIR=",
                                         "GIT_",
                                         "GCC_COLORS=",
                                         "GREP_COLORS",
                                         "MAKEFLAGS",
                                         "MFLAGS=",
                                         "MAKELEVEL=",
                                         "DEPENDENCIES_OUTPUT=",
                                         "SUNPRO_DEPENDENCIES="};

std::vector<std::string> child_environment(const fs::path& temporary) {
    std::vector<std::string> variables;
    for (char** at = environ; *at != nullptr; ++at) {
        std::string_view one = *at;
        if (std::ranges::none_of(kDropped, [one](std::string_view name) { return one.starts_with(name); }))
            variables.emplace_back(one);
    }
    variables.emplace_back("LC_ALL=C");
    variables.push_back("TMPDIR=" + temporary.string());
    variables.emplace_back("GIT_CONFIG_NOSYSTEM=1");
    variables.emplace_back("GIT_CONFIG_GLOBAL=/dev/null");
    variables.push_back("GIT_CEILING_DIRECTORIES=" + temporary.parent_path().string());
    return variables;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
    all.push_back(nullptr);
    return all;
}

// -1 with errno set when it can't be started.
pid_t spawn(const Command& command, const std::vector<std::string>& environment, const sigset_t& signals) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, command.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                       0600);
    ::posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    ::posix_spawn_file_actions_addchdir_np(&actions, command.directory.c_str());
    ::posix_spawnattr_setsigmask(&attributes, &signals);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    pid_t pid = -1;
    int error = ::posix_spawnp(&pid, command.words[0].c_str(), &actions, &attributes, pointers(command.words).data(),
                               pointers(environment).data());
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    errno = error;
    return error == 0 ? pid : -1;
}

class Pool {
public:
    Pool(Interruption& interruption, std::span<const Command> commands, const JobOptions& options)
        : interruption_(interruption),
          commands_(commands),
          options_(options),
          ends_(commands.size()),
          environment_(child_environment(options.temporary)) {}

    Outcome<std::vector<CommandEnd>> run() {
        Outcome<void> outcome;
        while (outcome && (next_ < commands_.size() || !running_.empty())) {
            bool room = running_.size() < std::max(1u, options_.jobs);
            outcome = next_ < commands_.size() && room ? start() : wait();
        }
        while (!running_.empty()) (void)wait();
        interruption_.continue_or_wait();
        if (!outcome) return fail(outcome.error());
        return std::move(ends_);
    }

private:
    Outcome<void> start() {
        const Command& command = commands_[next_];
        pid_t pid =
            interruption_.start_child([&] { return spawn(command, environment_, interruption_.signals_before()); });
        if (pid < 0) return fail(tool::system_failure(ExitCode::refused, command.words[0]));
        running_[pid] = next_++;
        return {};
    }

    Outcome<void> wait() {
        int status = 0;
        pid_t pid = ::waitpid(-1, &status, 0);
        if (pid < 0) return errno == EINTR ? Outcome<void>() : fail(tool::system_failure(ExitCode::refused, "waitpid"));
        auto found = running_.find(pid);
        if (found == running_.end()) return {};
        interruption_.child_ended(pid);
        CommandEnd& end = ends_[found->second];
        end.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        end.text = read_text(commands_[found->second].output).value_or(std::string());
        running_.erase(found);
        if (options_.progress) options_.progress(++done_);
        return {};
    }

    Interruption& interruption_;
    std::span<const Command> commands_;
    const JobOptions& options_;
    std::vector<CommandEnd> ends_;
    std::vector<std::string> environment_;
    std::map<pid_t, usize> running_;
    usize next_ = 0;
    usize done_ = 0;
};

}  // namespace

Outcome<std::vector<CommandEnd>> run_commands(Interruption& interruption, std::span<const Command> commands,
                                              const JobOptions& options) {
    return Pool(interruption, commands, options).run();
}

}  // namespace graft::build
