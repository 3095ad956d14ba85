#include "tools/graft/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "tools/graft/unique_fd.h"

namespace graft::tool {
namespace {

// Puts the terminal back as it was: QEMU changes it and can't undo that when it is killed.
class TerminalGuard {
public:
    TerminalGuard() { saved_ = ::tcgetattr(STDIN_FILENO, &settings_) == 0; }
    ~TerminalGuard() {
        if (saved_) ::tcsetattr(STDIN_FILENO, TCSANOW, &settings_);
    }
    TerminalGuard(const TerminalGuard&) = delete;
    TerminalGuard& operator=(const TerminalGuard&) = delete;

private:
    termios settings_{};
    bool saved_ = false;
};

// The signals that matter, readable from a descriptor instead of delivered.
class SignalReader {
public:
    SignalReader() {
        sigset_t wanted;
        ::sigemptyset(&wanted);
        for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) ::sigaddset(&wanted, signal);
        ::sigprocmask(SIG_BLOCK, &wanted, &before_);
        fd_ = UniqueFd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    }
    ~SignalReader() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
    SignalReader(const SignalReader&) = delete;
    SignalReader& operator=(const SignalReader&) = delete;

    const sigset_t& before() const { return before_; }

    // The next signal, or 0 when none came until the deadline.
    int wait(const Deadline& deadline) {
        for (;;) {
            pollfd waiting{.fd = fd_.get(), .events = POLLIN, .revents = 0};
            if (::poll(&waiting, 1, deadline.poll_timeout()) == 0) return 0;
            signalfd_siginfo info{};
            if (::read(fd_.get(), &info, sizeof(info)) == sizeof(info)) return static_cast<int>(info.ssi_signo);
        }
    }

private:
    sigset_t before_{};
    UniqueFd fd_;
};

[[noreturn]] void become(const std::vector<std::string>& command, const ChildOptions& options, pid_t parent,
                         const sigset_t& signals, int report) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // the parent died before the line above
    ::sigprocmask(SIG_SETMASK, &signals, nullptr);
    for (int fd : options.inherited) ::fcntl(fd, F_SETFD, 0);
    if (options.silent) {
        int null = ::open("/dev/null", O_RDWR);
        for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
    }
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    int error = errno;
    if (::write(report, &error, sizeof(error)) < 0) ::_exit(126);
    ::_exit(127);
}

int end_child(pid_t pid) {
    ::kill(pid, SIGKILL);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

ChildEnd ended(int status) {
    if (WIFSIGNALED(status)) return {ChildEnd::Cause::killed, WTERMSIG(status)};
    return {ChildEnd::Cause::exited, WEXITSTATUS(status)};
}

ChildEnd attend(pid_t pid, SignalReader& signals, const Deadline& deadline) {
    for (;;) {
        int signal = signals.wait(deadline);
        int status = 0;
        if (::waitpid(pid, &status, WNOHANG) == pid) return ended(status);
        if (signal == SIGCHLD) continue;
        end_child(pid);
        if (signal == 0) return {ChildEnd::Cause::overdue, 0};
        return {ChildEnd::Cause::stopped, signal};
    }
}

}  // namespace

Outcome<ChildEnd> run_child(const std::vector<std::string>& command, const ChildOptions& options,
                            const Deadline& deadline) {
    TerminalGuard terminal;
    SignalReader signals;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail(system_failure(ExitCode::refused, command[0]));
    UniqueFd report(ends[0]);
    UniqueFd report_in(ends[1]);

    pid_t parent = ::getpid();
    pid_t pid = ::fork();
    if (pid < 0) return fail(system_failure(ExitCode::refused, command[0]));
    if (pid == 0) become(command, options, parent, signals.before(), report_in.get());

    report_in = UniqueFd();
    int error = 0;
    if (::read(report.get(), &error, sizeof(error)) == sizeof(error)) {
        end_child(pid);
        errno = error;
        return fail(system_failure(ExitCode::refused, command[0]));
    }
    return attend(pid, signals, deadline);
}

}  // namespace graft::tool
