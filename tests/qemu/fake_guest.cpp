// A guest for trying the host command without booting one: the real serial link, 9P server and control tree, over
// patches that are only names. A transition takes 20 ms; one of a patch whose name begins with "slow" 1500 ms, with
// "held" for ever until it is reversed. What isn't a patch file is refused.
//
// usage: fake_guest SOCKET
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>

#include "control/serial_service.h"
#include "formats/klp.h"
#include "tests/unit/control_fake_system.h"

namespace graft::control::testing {
namespace {

u64 now_ns() {
    auto since = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

class FakeGuest final : public System {
public:
    FakeGuest() {
        base_.log = {"fake guest started", "second line"};
        base_.tasks = {{1, "idle/0"}, {2, "worker"}, {3, "worker"}};
    }

    // Ends the transitions whose time has come; returns when the next one ends.
    u64 end_transitions(u64 now) {
        for (usize i = 0; i < transitions_.size();) {
            if (transitions_[i].end_ns > now) {
                ++i;
                continue;
            }
            Transition ended = transitions_[i];
            transitions_.erase(transitions_.begin() + static_cast<std::ptrdiff_t>(i));
            finish(ended);
        }
        u64 next = formats::kNever;
        for (const Transition& transition : transitions_) next = std::min(next, transition.end_ns);
        return next;
    }

    // Every request is decided at once.
    std::optional<ControlResult<void>> outcome(u64) override { return ControlResult<void>(); }
    ControlResult<void> load(std::span<const std::byte> file, const LoadRequest& request) override {
        if (!formats::open_klp(file)) {
            record("refused", request.name, "\treason=not a patch");
            return refuse(ErrorNumber::invalid, request.name, ": not a patch: no envelope at the end");
        }
        u64 id = base_.add_patch(std::string(request.name));
        begin(id, "load-started");
        return {};
    }
    ControlResult<void> unregister(u64 id, u64) override {
        FakePatch* patch = find(id);
        if (patch == nullptr) return refuse(ErrorNumber::gone, "the patch is gone");
        patch->enabled = false;
        begin(id, "unload-started");
        return {};
    }
    ControlResult<void> reverse(u64 id) override {
        FakePatch* patch = find(id);
        if (patch == nullptr) return refuse(ErrorNumber::gone, "the patch is gone");
        if (!patch->in_transition) return refuse(ErrorNumber::invalid, patch->name, ": not in transition");
        patch->enabled = !patch->enabled;
        std::erase_if(transitions_, [&](const Transition& other) { return other.id == id; });
        record("turned", patch->name, "\tturns=1");
        transitions_.push_back({id, now_ns() + kQuickNs, 1});
        return {};
    }

    ControlResult<void> rollback(u64 id, u64 deadline_ns) override { return base_.rollback(id, deadline_ns); }
    ControlResult<void> commit(u64 id) override { return base_.commit(id); }
    ControlResult<void> promote(u64 id, u64 deadline_ns) override { return base_.promote(id, deadline_ns); }
    ControlResult<void> force(u64 id) override { return base_.force(id); }
    ControlResult<void> nudge(u64 id, u64 task) override { return base_.nudge(id, task); }
    void search_lingering() override {}
    void write_version(GrowingText& out) override { out.append("fake guest\n"); }
    void write_tainted(GrowingText& out) override { base_.write_tainted(out); }
    void write_symbols(GrowingText& out) override { base_.write_symbols(out); }
    void write_metrics(GrowingText& out) override { base_.write_metrics(out); }
    bool next_log_line(u64& cursor, TextBuffer& line) override { return base_.next_log_line(cursor, line); }
    bool next_history_line(u64& cursor, TextBuffer& line) override { return base_.next_history_line(cursor, line); }
    void visit_tasks(FunctionRef<void(const TaskView&)> visit) override { base_.visit_tasks(visit); }
    bool visit_task(u64 id, FunctionRef<void(const TaskView&)> visit) override { return base_.visit_task(id, visit); }
    bool write_stack(u64 task, GrowingText& out) override { return base_.write_stack(task, out); }
    bool write_moves(u64 task, GrowingText& out) override { return base_.write_moves(task, out); }
    void visit_patches(FunctionRef<void(u64, const patch::PatchView&)> visit) override { base_.visit_patches(visit); }
    bool visit_functions(u64 id, FunctionRef<void(const patch::FunctionView&)> visit) override {
        return base_.visit_functions(id, visit);
    }
    bool write_blocking(u64 id, GrowingText& out) override {
        FakePatch* patch = find(id);
        if (patch != nullptr && patch->in_transition) out.append("2\tworker\tdemo::work\tdemo::work+0x12\t0.5\n");
        return patch != nullptr;
    }
    bool visit_states(u64 id, FunctionRef<void(const patch::StateView&)> visit) override {
        return base_.visit_states(id, visit);
    }
    void visit_lingering(FunctionRef<LingeringVisit> visit) override { base_.visit_lingering(visit); }
    void plan(std::span<const std::byte> file, patch::Source source, GrowingText& answer) override {
        base_.plan(file, source, answer);
    }
    void note(std::string_view text) override {
        base_.log.emplace_back(text);
        std::fprintf(stderr, "note: %.*s\n", static_cast<int>(text.size()), text.data());
    }

private:
    struct Transition {
        u64 id;
        u64 end_ns;
        unsigned turns;
    };
    static constexpr u64 kQuickNs = 20'000'000;

    FakePatch* find(u64 id) {
        for (FakePatch& patch : base_.patches) {
            if (patch.id == id) return &patch;
        }
        return nullptr;
    }

    void record(const char* event, std::string_view patch, std::string_view columns = {}) {
        ++records_;
        base_.history.push_back(std::to_string(records_) + "\t1.000000\t" + event + "\t" + std::string(patch) +
                                std::string(columns));
        base_.log.push_back("patch " + std::string(patch) + ": " + event);
    }

    void begin(u64 id, const char* event) {
        FakePatch* patch = find(id);
        patch->in_transition = true;
        record(event, patch->name);
        bool held = patch->name.starts_with("held") && patch->enabled;
        u64 duration = patch->name.starts_with("slow") ? 1'500'000'000 : kQuickNs;
        transitions_.push_back({id, held ? formats::kNever : now_ns() + duration, 0});
    }

    void finish(const Transition& ended) {
        FakePatch* patch = find(ended.id);
        if (patch == nullptr) return;
        patch->in_transition = false;
        std::string name = patch->name;
        std::string columns =
            "\tturns=" + std::to_string(ended.turns) + "\tseconds=0.020000\twalk=2\tinterrupt=1\thook=1";
        record(patch->enabled ? "loaded" : "unloaded", name, columns);
        if (patch->enabled) return;
        std::erase_if(base_.patches, [&](const FakePatch& other) { return other.id == ended.id; });
        record("freed", name);
    }

    FakeSystem base_;
    std::vector<Transition> transitions_;
    unsigned records_ = 0;
};

// The client's socket as the second serial port; without a client what is written is lost, as on a wire.
class SocketDevice final : public ByteDevice {
public:
    void connect(int fd) { fd_ = fd; }
    int fd() const { return fd_; }
    bool wants_to_write() const { return blocked_; }

    usize read(std::span<std::byte> out) override {
        if (fd_ < 0) return 0;
        ssize_t count = ::read(fd_, out.data(), out.size());
        if (count == 0 || (count < 0 && errno != EAGAIN)) {
            ::close(fd_);
            fd_ = -1;
        }
        return count > 0 ? static_cast<usize>(count) : 0;
    }
    usize room() override { return blocked_ ? 0 : 512; }
    void write(std::span<const std::byte> bytes) override {
        if (fd_ < 0) return;
        // A frame cut off by a full socket is a damaged one; the link heals it.
        ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        blocked_ = count < 0 && errno == EAGAIN;
    }
    void unblock() { blocked_ = false; }

private:
    int fd_ = -1;
    bool blocked_ = false;
};

int listen_at(const char* path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    ::unlink(path);
    int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || ::listen(fd, 4) != 0) return -1;
    return fd;
}

int serve(int listener) {
    FakeGuest guest;
    SocketDevice device;
    auto service = std::make_unique<SerialService>(device, guest, static_cast<u32>(now_ns()));
    if (!service->allocate()) return 1;
    for (;;) {
        u64 next = guest.end_transitions(now_ns());
        next = std::min(next, service->service_round(now_ns()));
        u64 now = now_ns();
        int timeout = next == formats::kNever ? -1 : next <= now ? 0 : static_cast<int>((next - now) / 1'000'000 + 1);
        pollfd waiting[2] = {{.fd = device.fd() < 0 ? listener : -1, .events = POLLIN, .revents = 0},
                             {.fd = device.fd(), .events = POLLIN, .revents = 0}};
        if (device.wants_to_write()) waiting[1].events |= POLLOUT;
        ::poll(waiting, 2, timeout);
        device.unblock();
        if (waiting[0].revents & POLLIN) {
            int fd = ::accept(listener, nullptr, nullptr);
            ::fcntl(fd, F_SETFL, O_NONBLOCK);
            device.connect(fd);
        }
    }
}

}  // namespace
}  // namespace graft::control::testing

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: fake_guest SOCKET\n");
        return 2;
    }
    int listener = graft::control::testing::listen_at(argv[1]);
    if (listener < 0) {
        std::perror(argv[1]);
        return 1;
    }
    std::printf("listening\n");
    std::fflush(stdout);
    return graft::control::testing::serve(listener);
}
