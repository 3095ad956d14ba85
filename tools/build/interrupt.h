// Interruption: what SIGINT, SIGTERM, SIGHUP and the deadline do to a build, at whatever moment they come.
//
// While it lives, these signals go to a thread of its own. When one comes, or the deadline passes, that thread kills
// every child process, removes every registered file and folder, says so on standard error and ends the process: exit
// code 1, or 5 for the deadline. Nothing of the build is left, whatever the other threads were doing; they must not be
// able to end the process first, so whoever learns of a child's end asks continue_or_wait() before it concludes
// anything.
//
// Context: one at a time, made before other threads; all members may be called from any thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "tools/graft/deadline.h"
#include "tools/graft/unique_fd.h"

namespace graft::build {

class Interruption {
public:
    explicit Interruption(const tool::Deadline& deadline);
    ~Interruption();
    Interruption(const Interruption&) = delete;
    Interruption& operator=(const Interruption&) = delete;

    // Starts a child through `start`, which returns its process id or -1; the child leads a process group.
    pid_t start_child(const std::function<pid_t()>& start);
    void child_ended(pid_t pid);

    void add_doomed(const std::filesystem::path& path);
    void remove_doomed(const std::filesystem::path& path);

    // Does what can't be taken back, unless interrupted before. After it nothing is interrupted any more: the build is
    // done.
    bool conclude(const std::function<bool()>& step);

    // Returns when nothing has interrupted; else never.
    void continue_or_wait();

    // The signals that were deliverable before: what children get.
    const sigset_t& signals_before() const { return before_; }

private:
    void watch();
    void end(int signal);  // returns only if the build is done

    tool::Deadline deadline_;
    sigset_t before_{};
    tool::UniqueFd signals_;
    tool::UniqueFd stop_;
    std::mutex mutex_;  // of the three below; held for good once interrupted
    bool concluded_ = false;
    std::set<pid_t> children_;
    std::set<std::filesystem::path> doomed_;
    std::thread watcher_;
};

}  // namespace graft::build
