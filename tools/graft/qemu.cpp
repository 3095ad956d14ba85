#include "tools/graft/qemu.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>

#include <fmt/format.h>

#include "tools/graft/child.h"
#include "tools/graft/connect.h"
#include "tools/graft/host_processor.h"
#include "tools/graft/probe_guest.h"

namespace graft::tool {
namespace {

constexpr const char* kQemu = "qemu-system-x86_64";
constexpr Milliseconds kProbeLimit{5000};

// A private folder for the sockets of one run, removed with all that is in it.
class RunFolder {
public:
    static Outcome<RunFolder> create() {
        const char* base = ::getenv("XDG_RUNTIME_DIR");
        if (!base || ::access(base, W_OK) != 0) base = ::getenv("TMPDIR");
        std::string path = fmt::format("{}/graft-XXXXXX", base && *base ? base : "/tmp");
        if (!::mkdtemp(path.data())) return fail(system_failure(ExitCode::refused, path));
        return RunFolder(path);
    }
    RunFolder(RunFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    RunFolder& operator=(RunFolder&&) = delete;
    ~RunFolder() {
        std::error_code ignored;
        if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
    }
    std::string file(const char* name) const { return path_ + "/" + name; }

private:
    explicit RunFolder(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

enum class ImageKind { elf, iso };

Outcome<ImageKind> image_kind(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return fail(system_failure(ExitCode::refused, path));
    char magic[4] = {};
    file.read(magic, sizeof(magic));
    if (std::string_view(magic, 4) == "\177ELF") return ImageKind::elf;
    char volume[5] = {};
    file.clear();
    file.seekg(16 * 2048 + 1);  // the identifier of an ISO 9660 volume descriptor [ecma-119 §8.1]
    file.read(volume, sizeof(volume));
    if (std::string_view(volume, 5) == "CD001") return ImageKind::iso;
    return refused(fmt::format("{}: neither an ELF image nor an ISO", path));
}

// A comma separates QEMU's sub-options; one that belongs to a value is doubled.
std::string escape_commas(std::string_view value) {
    std::string result;
    for (char character : value) {
        result += character;
        if (character == ',') result += ',';
    }
    return result;
}

const char* machine_name(MachineType machine) {
    return machine == MachineType::q35 ? "q35" : "microvm";
}

std::vector<std::string> common_arguments(MachineType machine, Accelerator accelerator) {
    bool kvm = accelerator == Accelerator::kvm;
    return {kQemu,
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-machine",
            machine_name(machine),
            "-accel",
            kvm ? "kvm" : "tcg",
            "-cpu",
            "max",
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=0x04"};
}

void append_to(std::vector<std::string>& list, std::initializer_list<std::string> more) {
    list.insert(list.end(), more);
}

Outcome<Accelerator> accelerator_from_environment(Accelerator wanted) {
    const char* override_value = ::getenv("GRAFT_ACCEL");
    if (!override_value || !*override_value) return wanted;
    static const std::map<std::string_view, Accelerator> kNames = {
        {"kvm", Accelerator::kvm}, {"tcg", Accelerator::tcg}, {"auto", Accelerator::automatic}};
    auto found = kNames.find(override_value);
    if (found == kNames.end())
        return misused(fmt::format("GRAFT_ACCEL is '{}': expected kvm, tcg or auto", override_value));
    return found->second;
}

// What one run needs besides its options, and what must live as long as QEMU does.
struct Preparation {
    RunFolder folder;
    UniqueFd control_listener;
    std::vector<std::string> command;
};

// QEMU passes an empty module as none, and the system would start without what was meant.
Outcome<void> check_module(const std::string& path) {
    if (::access(path.c_str(), R_OK) != 0) return fail(system_failure(ExitCode::refused, path));
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) return refused(fmt::format("{}: not a file", path));
    if (std::filesystem::file_size(path, error) == 0) return refused(fmt::format("{}: empty", path));
    return {};
}

Outcome<void> add_boot_medium(const RunOptions& options, std::vector<std::string>& command) {
    std::string image = options.image;
    if (options.iso && image.ends_with(".elf")) image.replace(image.size() - 4, 4, ".iso");
    ImageKind kind = GRAFT_TRY(image_kind(image));
    if (kind == ImageKind::iso) {
        if (options.machine == MachineType::microvm) return misused("microvm has no CD-ROM drive: boot the ELF image");
        if (!options.append.empty()) return misused("--append: an ISO's command line is part of the ISO");
        if (!options.modules.empty()) return misused("--module: an ISO's modules are part of the ISO");
        append_to(command, {"-cdrom", image, "-boot", "d"});
        return {};
    }
    if (options.iso) return refused(fmt::format("{}: not an ISO", image));
    if (options.modules.size() > 1) return misused("--module: direct boot passes one module; use an ISO for more");
    append_to(command, {"-kernel", image});
    if (!options.append.empty()) append_to(command, {"-append", options.append});
    for (const std::string& module : options.modules) {
        GRAFT_CHECK(check_module(module));
        append_to(command, {"-initrd", module});
    }
    return {};
}

// The second serial port. Returns the address for clients; it is printed by the caller.
Outcome<std::string> add_control_line(const RunOptions& options, Preparation& run) {
    Connect connect{.kind = Connect::Kind::unix_socket, .path = run.folder.file("control"), .host = {}, .port = {}};
    if (!options.control.empty()) connect = GRAFT_TRY(parse_connect(options.control));
    std::string device;
    if (connect.kind == Connect::Kind::serial && connect.path == "pty") {
        device = "pty,id=control";
    } else if (connect.kind == Connect::Kind::serial) {
        device = fmt::format("serial,id=control,path={}", escape_commas(connect.path));
    } else {
        run.control_listener = GRAFT_TRY(listen_at(connect));
        device = fmt::format("socket,id=control,server=on,wait=off,fd={}", run.control_listener.get());
    }
    append_to(run.command, {"-chardev", device});
    if (options.machine == MachineType::q35)
        append_to(run.command, {"-serial", "chardev:control"});
    else
        append_to(run.command, {"-device", "isa-serial,index=1,chardev=control"});
    return connect.text();
}

void add_gdb(const RunOptions& options, Preparation& run) {
    std::string path = run.folder.file("gdb");
    append_to(run.command, {"-chardev", fmt::format("socket,id=gdb,path={},server=on,wait=off", escape_commas(path)),
                            "-gdb", "chardev:gdb", "-S"});
    fmt::print(stderr, "graft: the processors wait for gdb: gdb {} -ex 'target remote {}' -ex continue\n",
               options.image, path);
}

Outcome<Preparation> prepare(const RunOptions& options, Accelerator accelerator) {
    RunFolder folder = GRAFT_TRY(RunFolder::create());
    Preparation run{std::move(folder), UniqueFd(), common_arguments(options.machine, accelerator)};
    append_to(run.command, {"-smp", std::to_string(options.processors), "-m", options.memory});
    GRAFT_CHECK(add_boot_medium(options, run.command));
    append_to(run.command, {"-chardev", "stdio,id=console,signal=on", "-serial", "chardev:console"});
    std::string address = GRAFT_TRY(add_control_line(options, run));
    if (!options.quiet && address != "serial:pty") fmt::print(stderr, "graft: export GRAFT_CONNECT={}\n", address);
    if (options.gdb) add_gdb(options, run);
    run.command.insert(run.command.end(), options.qemu_arguments.begin(), options.qemu_arguments.end());
    std::fflush(stderr);
    return run;
}

Outcome<void> judge(const ChildEnd& end) {
    switch (end.cause) {
        case ChildEnd::Cause::overdue:
            return timed_out("the guest ran into the time limit and was ended");
        case ChildEnd::Cause::stopped:
            return refused(fmt::format("stopped by signal {}", end.value));
        case ChildEnd::Cause::killed:
            return refused(fmt::format("QEMU was killed by signal {}", end.value));
        case ChildEnd::Cause::exited:
            break;
    }
    if (end.value == 0 || end.value == 2 * kGuestSuccess + 1) return {};
    if (end.value == 1) return refused("QEMU failed, or the guest ended with code 0x0");
    return refused(fmt::format("the guest ended with code {:#x}", end.value >> 1));
}

// How long the probe guest takes with an accelerator; nothing when it doesn't come to its end within the limit.
std::optional<Milliseconds> probe(MachineType machine, Accelerator accelerator, Milliseconds limit) {
    auto folder = RunFolder::create();
    if (!folder) return std::nullopt;
    std::string image = folder->file("probe");
    std::ofstream(image, std::ios::binary) << probe_guest();
    std::vector<std::string> command = common_arguments(machine, accelerator);
    append_to(command, {"-m", "64M", "-kernel", image});
    ChildOptions silent{.inherited = {}, .silent = true};
    u64 began = now_ns();
    auto end = run_child(command, silent, Deadline::after(limit));
    bool works = end && end->cause == ChildEnd::Cause::exited && end->value == 2 * kGuestSuccess + 1;
    if (!works) return std::nullopt;
    return Milliseconds((now_ns() - began) / 1'000'000);
}

bool is_host_virtual() {
    std::ifstream file("/proc/cpuinfo");
    return is_virtual_machine(std::string(std::istreambuf_iterator<char>(file), {}));
}

}  // namespace

// In a virtual machine, KVM may stop in the middle of a guest that ran well before ("emulation failure" at an ordinary
// instruction): no trial shows that it will not.
Accelerator choose_accelerator(MachineType machine) {
    if (is_host_virtual()) return Accelerator::tcg;
    UniqueFd device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!device) return Accelerator::tcg;
    auto emulated = probe(machine, Accelerator::tcg, kProbeLimit);
    if (!emulated) return Accelerator::tcg;
    // Half as much again: two runs of the same thing differ by less, and a slow KVM by far more.
    return probe(machine, Accelerator::kvm, *emulated * 3 / 2) ? Accelerator::kvm : Accelerator::tcg;
}

Outcome<void> run_image(const RunOptions& options) {
    Accelerator accelerator = GRAFT_TRY(accelerator_from_environment(options.accelerator));
    if (accelerator == Accelerator::automatic) accelerator = choose_accelerator(options.machine);
    Preparation run = GRAFT_TRY(prepare(options, accelerator));
    ChildOptions child;
    if (run.control_listener) child.inherited.push_back(run.control_listener.get());
    return judge(GRAFT_TRY(run_child(run.command, child, Deadline::after(options.time_limit))));
}

}  // namespace graft::tool
