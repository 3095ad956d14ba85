// mkpatch: makes a patch (.klp) from the object of a hand-written patch source.
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/patch/pack.h"
#include "tools/signing/keys.h"

namespace graft::tools {
namespace {

struct Arguments {
    std::string image;
    std::string object;
    std::string output;
    std::string key;
    std::vector<std::string> positions;
    bool quiet = false;
    PackOptions options;
};

PackResult<void> take_positions(Arguments& arguments) {
    for (const std::string& text : arguments.positions) {
        usize comma = text.rfind(',');
        u32 position = 0;
        const char* end = text.data() + text.size();
        auto result = std::from_chars(text.data() + std::min(comma + 1, text.size()), end, position);
        if (comma == std::string::npos || result.ec != std::errc{} || result.ptr != end || position == 0)
            return pack_error(fmt::format("--position {}: expected NAME,N with N from 1", text));
        arguments.options.positions[text.substr(0, comma)] = position;
    }
    return {};
}

// Complete or not at all: an interrupted run leaves no half patch behind.
PackResult<void> write_file(const std::string& path, std::span<const std::byte> bytes) {
    std::string temporary = fmt::format("{}.{}.part", path, ::getpid());
    std::ofstream file(temporary, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    file.close();
    std::error_code error;
    if (file) std::filesystem::rename(temporary, path, error);
    if (file && !error) return {};
    std::filesystem::remove(temporary, error);
    return pack_error(fmt::format("{}: cannot be written", path));
}

PackResult<void> make_patch(Arguments& arguments) {
    GRAFT_CHECK(take_positions(arguments));
    Image image = GRAFT_TRY(Image::open(GRAFT_TRY(read_file(arguments.image)), arguments.image));
    Object object = GRAFT_TRY(read_object(GRAFT_TRY(read_file(arguments.object)), arguments.object));
    PackSummary summary;
    auto file = GRAFT_TRY(pack(std::move(object), image, arguments.options, &summary));
    if (!arguments.key.empty()) GRAFT_CHECK(sign_patch(file, GRAFT_TRY(read_secret_key(arguments.key))));
    GRAFT_CHECK(write_file(arguments.output, file));
    if (arguments.quiet) return {};
    fmt::print("{}: patch {}, {} bytes, {} references, {} held{}\n", arguments.output, summary.name, file.size(),
               summary.references, summary.holds, summary.endless ? ", endless (needs --allow-endless)" : "");
    for (const std::string& function : summary.functions) fmt::print("  replaces {}\n", function);
    for (const std::string& state : summary.states) fmt::print("  state {}\n", state);
    return {};
}

int run(int argc, char** argv) {
    Arguments arguments;
    CLI::App app("Makes a patch from the object of a source that declares one with patch/author.h.", "mkpatch");
    app.add_option("--image", arguments.image, "The image that the patch is for")->required()->type_name("FILE");
    app.add_option("OBJECT", arguments.object, "The object, compiled with the image's flags")
        ->required()
        ->type_name("FILE");
    app.add_option("-o,--output", arguments.output, "The patch to write")->required()->type_name("FILE.klp");
    app.add_option("--name", arguments.options.name, "Instead of the declared name");
    app.add_option("--set", arguments.options.set, "Instead of the declared replace set");
    app.add_option("--patch-version", arguments.options.version, "Instead of the declared version");
    app.add_option("--description", arguments.options.description, "Instead of the declared description");
    app.add_option("--fixes", arguments.options.fixes, "Instead of the declared identifiers of what is fixed");
    app.add_option("--position", arguments.positions, "Which of several symbols of one name is meant: NAME,N")
        ->allow_extra_args(false);
    app.add_option("--key", arguments.key, "Sign with this secret key")->type_name("FILE.key");
    app.add_flag("-q,--quiet", arguments.quiet, "Print errors only");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    auto made = make_patch(arguments);
    if (made) return 0;
    fmt::print(stderr, "mkpatch: {}\n", made.error().text);
    return 1;
}

}  // namespace
}  // namespace graft::tools

int main(int argc, char** argv) {
    return graft::tools::run(argc, argv);
}
