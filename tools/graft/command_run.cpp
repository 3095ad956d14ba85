// run: boots an image in QEMU.
#include <algorithm>
#include <map>
#include <memory>

#include <CLI/CLI.hpp>

#include "tools/graft/command.h"
#include "tools/graft/qemu.h"

namespace graft::tool {

std::string check_duration(const std::string& text) {
    return parse_duration(text) ? std::string() : "expected a duration such as 30, 500ms, 2m: " + text;
}

void define_globals(CLI::App& app, CommandLine& line) {
    app.add_option("-c,--connect", line.globals.connect,
                   "Where the guest's control line is: serial:PATH, unix:PATH or tcp:HOST[:PORT]")
        ->envname("GRAFT_CONNECT")
        ->type_name("CONNECT");
    app.add_flag("--json", line.globals.json, "Print data as JSON");
    app.add_flag("-q,--quiet", line.globals.quiet, "Print data and errors only");
    app.add_option_function<std::string>(
           "--timeout", [&line](const std::string& text) { line.globals.timeout = parse_duration(text); },
           "Give up after this long (a number of seconds, or with ms, s, m, h); default: never")
        ->check(check_duration, "")
        ->type_name("DURATION");
}

void define_run(CLI::App& app, CommandLine& line) {
    auto options = std::make_shared<RunOptions>();
    CLI::App* command = app.add_subcommand("run", "Boot an image in QEMU, its console on this terminal");
    command->add_option("IMAGE", options->image, "The image: an ELF file or an ISO")->required()->type_name("FILE");
    command->add_option("--smp", options->processors, "Number of processors")
        ->check(CLI::Range(1, 255))
        ->type_name("N")
        ->capture_default_str();
    command->add_option("--mem", options->memory, "Memory, as QEMU writes it")
        ->type_name("SIZE")
        ->capture_default_str();
    command
        ->add_option("--control", options->control,
                     "Where to offer the control line; default: a private socket, whose address is printed")
        ->type_name("CONNECT");
    std::map<std::string, Accelerator> accelerators{
        {"kvm", Accelerator::kvm}, {"tcg", Accelerator::tcg}, {"auto", Accelerator::automatic}};
    command
        ->add_option("--accel", options->accelerator,
                     "Accelerator; auto takes KVM on real hardware only, after a small guest proved it fast. "
                     "$GRAFT_ACCEL overrides")
        ->transform(CLI::CheckedTransformer(accelerators).description(""))
        ->type_name("{kvm,tcg,auto}");
    std::map<std::string, MachineType> machines{{"q35", MachineType::q35}, {"microvm", MachineType::microvm}};
    command->add_option("--machine", options->machine, "Machine to emulate; default: q35")
        ->transform(CLI::CheckedTransformer(machines).description(""))
        ->type_name("{q35,microvm}");
    command->add_flag("--iso", options->iso, "Boot the ISO that lies beside the ELF image, through GRUB");
    command->add_option("--append", options->append, "The kernel's command line")->type_name("TEXT");
    command->add_option("--module", options->modules, "A boot module, such as a patch")
        ->type_name("FILE")
        ->allow_extra_args(false);
    command->add_flag("--gdb", options->gdb, "Wait for gdb before the first instruction; its address is printed");
    command->add_option("QEMU-ARGS", options->qemu_arguments, "After --: more arguments for QEMU")->type_name("");
    command->callback([&line, options] {
        line.action = [options](const Globals& globals) {
            options->time_limit = globals.timeout;
            options->quiet = globals.quiet;
            return run_image(*options);
        };
    });
}

}  // namespace graft::tool
