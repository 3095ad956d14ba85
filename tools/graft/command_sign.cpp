// keygen, sign: the keys that vouch for patches.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/graft/command.h"
#include "tools/graft/unique_fd.h"
#include "tools/graft/write_file.h"
#include "tools/signing/keys.h"

namespace graft::tool {
namespace {

// `path` must not exist. What was begun is taken away again when it can't be finished.
Outcome<void> create_file(const std::string& path, std::string_view text, mode_t mode) {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (!fd) {
        if (errno == EEXIST) return refused(fmt::format("{}: exists already, and a key is never overwritten", path));
        return fail(system_failure(ExitCode::refused, path));
    }
    while (!text.empty()) {
        ssize_t written = ::write(fd.get(), text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            Failure failure = system_failure(ExitCode::refused, path);
            ::unlink(path.c_str());
            return fail(std::move(failure));
        }
        text.remove_prefix(static_cast<usize>(written));
    }
    return {};
}

Outcome<void> generate(const std::string& path, const Globals& globals) {
    std::string name = std::filesystem::path(path).filename().string();
    if (!tools::is_key_name(name))
        return refused(
            fmt::format("'{}' is not a name for a key: 1 to {} letters, digits and . _ - +, the first a letter "
                        "or digit",
                        name, formats::kMaxKeyName));
    std::string public_path = path + ".pub";
    std::string secret_path = path + ".key";
    std::error_code error;
    if (std::filesystem::exists(public_path, error))
        return refused(fmt::format("{}: exists already, and a key is never overwritten", public_path));
    auto key = tools::SecretKey::generate(name);
    GRAFT_CHECK(create_file(secret_path, key.secret_file(), 0600));
    auto created = create_file(public_path, key.public_file(), 0644);
    if (!created) {
        ::unlink(secret_path.c_str());
        return created;
    }
    if (!globals.quiet)
        fmt::print("{}: key {}, id {:02x}\n{}: keep it secret\n", public_path, name,
                   fmt::join(key.public_half().id, ""), secret_path);
    return {};
}

struct SignArguments {
    std::string patch;
    std::string key;
    std::string output;
};

Outcome<void> sign(const SignArguments& arguments, const Globals& globals) {
    auto file = tools::read_file(arguments.patch);
    if (!file) return refused(file.error().text);
    auto key = tools::read_secret_key(arguments.key);
    if (!key) return refused(key.error().text);
    auto is_signed = tools::sign_patch(*file, *key);
    if (!is_signed) return refused(fmt::format("{}: {}", arguments.patch, is_signed.error().text));
    const std::string& output = arguments.output.empty() ? arguments.patch : arguments.output;
    GRAFT_CHECK(write_whole_file(output, *file));
    if (!globals.quiet) fmt::print("{}: signed by {}\n", output, key->public_half().name);
    return {};
}

void define_keygen(CLI::App& app, CommandLine& line) {
    auto path = std::make_shared<std::string>();
    CLI::App* command =
        app.add_subcommand("keygen", "Make a key pair: NAME.key, which is secret, and NAME.pub for images");
    command->add_option("-o,--output", *path, "The files without their endings; the last part is the key's name")
        ->required()
        ->type_name("NAME");
    command->callback(
        [&line, path] { line.action = [path](const Globals& globals) { return generate(*path, globals); }; });
}

void define_sign_command(CLI::App& app, CommandLine& line) {
    auto arguments = std::make_shared<SignArguments>();
    CLI::App* command = app.add_subcommand("sign", "Sign a patch, in place of any signature that it has");
    command->add_option("FILE", arguments->patch, "The patch, a .klp file")->required()->type_name("");
    command->add_option("--key", arguments->key, "The secret key")->required()->type_name("NAME.key");
    command->add_option("-o,--output", arguments->output, "Write the signed patch there; FILE itself unless given")
        ->type_name("OUT");
    command->callback([&line, arguments] {
        line.action = [arguments](const Globals& globals) { return sign(*arguments, globals); };
    });
}

}  // namespace

void define_signing(CLI::App& app, CommandLine& line) {
    define_keygen(app, line);
    define_sign_command(app, line);
}

}  // namespace graft::tool
