// bake: an ISO whose image comes up in the patched state, since GRUB hands it the patches as boot modules.
//
// The ISO stays what it is otherwise: xorriso takes it as it is, with its boot equipment for BIOS and UEFI, and adds or
// replaces files. Everything is checked before the first byte is written; the new ISO appears whole or not at all.
#include <unistd.h>

#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/graft/child.h"
#include "tools/graft/command.h"
#include "tools/graft/fit.h"
#include "tools/graft/grub_config.h"
#include "tools/graft/write_file.h"

namespace graft::tool {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigPath = "/boot/grub/grub.cfg";
constexpr usize kMaxModules = 16;      // as many as an image takes
constexpr usize kMaxModuleName = 120;  // of what an image keeps of a module's name

struct BakeArguments {
    std::string base;
    std::vector<std::string> patches;
    std::string output;
    bool is_required = false;
};

class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string pattern = (fs::temp_directory_path() / "graft-bake-XXXXXX").string();
        if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
    }
    ~TemporaryFolder() {
        std::error_code error;
        if (!path_.empty()) fs::remove_all(path_, error);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    explicit operator bool() const { return !path_.empty(); }
    std::string file(std::string_view name) const { return (path_ / name).string(); }

private:
    fs::path path_;
};

Outcome<void> run_xorriso(std::vector<std::string> arguments, const std::string& what, const Globals& globals) {
    arguments.insert(arguments.begin(), {"xorriso", "-no_rc", "-abort_on", "FAILURE"});
    auto end = GRAFT_TRY(run_child(arguments, {.inherited = {}, .silent = true}, globals.deadline()));
    switch (end.cause) {
        case ChildEnd::Cause::exited:
            if (end.value == 0) return {};
            break;
        case ChildEnd::Cause::overdue:
            return timed_out(fmt::format("{}: xorriso took too long", what));
        case ChildEnd::Cause::killed:
        case ChildEnd::Cause::stopped:
            return refused(fmt::format("{}: xorriso was ended by signal {}", what, end.value));
    }
    return refused(fmt::format("{}; what xorriso says to it: {}", what, fmt::join(arguments, " ")));
}

// What is in the ISO, taken out of it.
class Base {
public:
    Base(std::string path, const TemporaryFolder& folder, const Globals& globals)
        : path_(std::move(path)), folder_(folder), globals_(globals) {}

    Outcome<std::string> extract(const std::string& path, const std::string& name) {
        std::string out = folder_.file(name);
        GRAFT_CHECK(run_xorriso({"-osirrox", "on", "-indev", path_, "-extract_single", path, out},
                                fmt::format("{}: no {} in it that can be read", path_, path), globals_));
        return out;
    }

    Outcome<std::string> config() {
        std::string path = GRAFT_TRY(extract(kConfigPath, "grub.cfg"));
        auto bytes = tools::read_file(path);
        if (!bytes) return refused(bytes.error().text);
        return std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    }

    Outcome<tools::Image> image(const std::string& config) {
        auto path = image_path(config);
        if (!path) return refused(fmt::format("{}: its boot menu starts no image", path_));
        auto bytes = tools::read_file(GRAFT_TRY(extract(*path, "image.elf")));
        if (!bytes) return refused(bytes.error().text);
        auto image = tools::Image::open(std::move(*bytes), path_ + ":" + *path);
        if (!image) return refused(image.error().text);
        return std::move(*image);
    }

private:
    std::string path_;
    const TemporaryFolder& folder_;
    const Globals& globals_;
};

// Those that the ISO has already, then the new ones.
Outcome<std::vector<PatchFile>> open_all(Base& base, const std::string& config, const BakeArguments& arguments) {
    std::vector<PatchFile> patches;
    for (const std::string& path : module_paths(config)) {
        std::string file = GRAFT_TRY(base.extract(path, fmt::format("module-{}", patches.size())));
        patches.push_back(GRAFT_TRY(open_patch_file(file)));
        patches.back().path = arguments.base + ":" + path;
    }
    for (const std::string& path : arguments.patches) patches.push_back(GRAFT_TRY(open_patch_file(path)));
    if (patches.size() > kMaxModules)
        return refused(fmt::format("{} patches, but an image takes at most {}", patches.size(), kMaxModules));
    return patches;
}

Outcome<void> write_iso(const BakeArguments& arguments, const std::string& config,
                        const std::vector<PatchFile>& patches, const TemporaryFolder& folder, const Globals& globals) {
    std::vector<NewModule> modules;
    std::vector<std::string> maps;
    for (usize i = patches.size() - arguments.patches.size(); i < patches.size(); ++i) {
        std::string name = patches[i].name() + ".klp";
        if (name.size() > kMaxModuleName) name = fmt::format("patch-{}.klp", i);
        modules.push_back({fmt::format("/boot/patches/{:02}-{}", i, name), name});
        // What was checked, not what may lie there by now.
        std::string copy = folder.file(fmt::format("patch-{}", i));
        GRAFT_CHECK(write_whole_file(copy, patches[i].bytes));
        maps.insert(maps.end(), {"-map", copy, modules.back().path});
    }
    std::string edited = add_modules(config, modules, arguments.is_required ? "patches=required" : "");
    std::string config_file = folder.file("new.cfg");
    GRAFT_CHECK(write_whole_file(config_file, std::as_bytes(std::span(edited))));

    std::string part = fmt::format("{}.{}.part", arguments.output, ::getpid());
    // The file system for Macs that grub-mkrescue lays over the ISO can't be replayed together with the partition
    // table.
    std::vector<std::string> command = {"-indev", arguments.base, "-outdev", part,   "-boot_image", "any",
                                        "replay", "-hfsplus",     "off",     "-map", config_file,   kConfigPath};
    command.insert(command.end(), maps.begin(), maps.end());
    command.push_back("-commit");
    auto written = run_xorriso(command, fmt::format("{}: cannot be written", arguments.output), globals);
    std::error_code error;
    if (written) fs::rename(part, arguments.output, error);
    if (!written || error) {
        std::error_code ignored;
        fs::remove(part, ignored);
    }
    if (written && error) return refused(fmt::format("{}: {}", arguments.output, error.message()));
    return written;
}

Outcome<void> bake(const BakeArguments& arguments, const Globals& globals) {
    std::error_code error;
    if (!fs::exists(arguments.base, error)) return refused(fmt::format("{}: no such file", arguments.base));
    if (fs::equivalent(arguments.base, arguments.output, error))
        return misused("the new ISO must be another file than the one that it is made of");
    TemporaryFolder folder;
    if (!folder) return refused("no temporary folder can be made");
    Base base(arguments.base, folder, globals);
    std::string config = GRAFT_TRY(base.config());
    tools::Image image = GRAFT_TRY(base.image(config));
    auto keys = GRAFT_TRY(trusted_keys_of(image));
    auto patches = GRAFT_TRY(open_all(base, config, arguments));
    for (const PatchFile& patch : patches) GRAFT_CHECK(check_fit(patch, image, keys));
    GRAFT_CHECK(check_together(patches));
    GRAFT_CHECK(write_iso(arguments, config, patches, folder, globals));
    if (globals.quiet) return {};
    fmt::print("{}: comes up with\n", arguments.output);
    for (const PatchFile& patch : patches)
        fmt::print("  {} {}\n", patch.name(), patch.metadata.version().empty() ? "" : patch.metadata.version());
    return {};
}

}  // namespace

void define_bake(CLI::App& app, CommandLine& line) {
    auto arguments = std::make_shared<BakeArguments>();
    CLI::App* command = app.add_subcommand("bake", "Make an ISO that comes up patched");
    command->add_option("ISO", arguments->base, "The image's ISO; it may be a baked one")->required()->type_name("");
    command->add_option("PATCH", arguments->patches, "The patches, in the order in which they are loaded")
        ->required()
        ->type_name("");
    command->add_option("-o,--output", arguments->output, "The new ISO")->required()->type_name("FILE.iso");
    command->add_flag("--required", arguments->is_required, "The image doesn't start without them (patches=required)");
    command->callback([&line, arguments] {
        line.action = [arguments](const Globals& globals) { return bake(*arguments, globals); };
    });
}

}  // namespace graft::tool
