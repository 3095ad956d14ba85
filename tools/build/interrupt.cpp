#include "tools/build/interrupt.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "base/types.h"
#include "tools/graft/failure.h"

namespace graft::build {

namespace fs = std::filesystem;
using tool::ExitCode;
using tool::UniqueFd;

namespace {

constexpr int kRemovals = 50;  // a child that is just being killed may still make a file

void remove_for_good(const fs::path& path) {
    std::error_code error;
    fs::path away = path;
    away += ".gone";
    fs::rename(path, away, error);  // from here on nobody makes anything in it by its name
    for (int i = 0; i < kRemovals; ++i) {
        fs::remove_all(error ? path : away, error);
        if (!error) return;
        ::usleep(2000);
    }
}

// Until the child and what it has started are gone; the other threads may reap it first.
void await_end(pid_t child) {
    ::waitpid(child, nullptr, 0);
    for (int i = 0; i < kRemovals && ::kill(-child, 0) == 0; ++i) ::usleep(2000);
}

}  // namespace

Interruption::Interruption(const tool::Deadline& deadline) : deadline_(deadline) {
    sigset_t wanted;
    ::sigemptyset(&wanted);
    for (int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&wanted, signal);
    ::pthread_sigmask(SIG_BLOCK, &wanted, &before_);
    signals_ = UniqueFd(::signalfd(-1, &wanted, SFD_CLOEXEC));
    stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
    watcher_ = std::thread([this] { watch(); });
}

Interruption::~Interruption() {
    {
        std::lock_guard guard(mutex_);  // not before an interruption, if one has begun
        u64 one = 1;
        if (::write(stop_.get(), &one, sizeof(one)) < 0) std::perror("graft: eventfd");
    }
    watcher_.join();
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

pid_t Interruption::start_child(const std::function<pid_t()>& start) {
    std::lock_guard guard(mutex_);
    pid_t pid = start();
    if (pid > 0) children_.insert(pid);
    return pid;
}

void Interruption::child_ended(pid_t pid) {
    std::lock_guard guard(mutex_);
    children_.erase(pid);
}

void Interruption::add_doomed(const fs::path& path) {
    std::lock_guard guard(mutex_);
    doomed_.insert(path);
}

void Interruption::remove_doomed(const fs::path& path) {
    std::lock_guard guard(mutex_);
    doomed_.erase(path);
}

void Interruption::continue_or_wait() {
    std::lock_guard guard(mutex_);
}

bool Interruption::conclude(const std::function<bool()>& step) {
    std::lock_guard guard(mutex_);
    concluded_ = step();
    return concluded_;
}

void Interruption::watch() {
    for (;;) {
        pollfd waiting[] = {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                            {.fd = stop_.get(), .events = POLLIN, .revents = 0}};
        int ready = ::poll(waiting, 2, deadline_.poll_timeout());
        if (ready < 0) continue;
        if (waiting[1].revents != 0) return;
        signalfd_siginfo info{};
        if (ready != 0 && ::read(signals_.get(), &info, sizeof(info)) != sizeof(info)) continue;
        end(ready == 0 ? 0 : static_cast<int>(info.ssi_signo));
        return;
    }
}

void Interruption::end(int signal) {
    mutex_.lock();
    if (concluded_) {
        mutex_.unlock();
        return;
    }
    // From here on the lock is never given back: the other threads wait for it until the process is gone.
    for (pid_t child : children_) ::kill(-child, SIGKILL);
    for (pid_t child : children_) await_end(child);
    for (const fs::path& path : doomed_) remove_for_good(path);
    if (signal == 0) {
        fmt::print(stderr, "graft: timed out; nothing was written\n");
        ::_exit(static_cast<int>(ExitCode::timed_out));
    }
    fmt::print(stderr, "graft: stopped by signal {}; nothing was written\n", signal);
    ::_exit(static_cast<int>(ExitCode::refused));
}

}  // namespace graft::build
