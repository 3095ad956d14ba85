#include "tools/build/scratch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

namespace graft::build {

namespace fs = std::filesystem;
using tool::ExitCode;
using tool::Outcome;
using tool::refused;

Outcome<std::unique_ptr<Scratch>> Scratch::make(Interruption& interruption) {
    const char* parent = std::getenv("TMPDIR");
    std::string pattern = fs::path(parent != nullptr && *parent != '\0' ? parent : "/tmp") / "graft-build.XXXXXX";
    std::vector<char> name(pattern.begin(), pattern.end());
    name.push_back('\0');
    if (::mkdtemp(name.data()) == nullptr) return fail(tool::system_failure(ExitCode::refused, pattern));
    std::error_code error;
    fs::path path = fs::canonical(name.data(), error);
    interruption.add_doomed(path);
    return std::unique_ptr<Scratch>(new Scratch(interruption, path));
}

Scratch::~Scratch() {
    std::error_code error;
    fs::remove_all(path_, error);
    interruption_.remove_doomed(path_);
}

Outcome<void> write_text(const fs::path& path, std::string_view text) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    std::ofstream file(path, std::ios::binary);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    file.close();
    if (!file) return refused(fmt::format("{}: cannot be written", path.string()));
    return {};
}

Outcome<std::string> read_text(const fs::path& path) {
    std::error_code error;
    std::ifstream file(path, std::ios::binary);
    if (!file || fs::is_directory(path, error)) return refused(fmt::format("{}: cannot be read", path.string()));
    std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (file.bad()) return refused(fmt::format("{}: cannot be read", path.string()));
    return text;
}

Outcome<void> write_whole(Interruption& interruption, const std::string& path, std::span<const std::byte> bytes) {
    fs::path temporary = fmt::format("{}.{}.part", path, ::getpid());
    interruption.add_doomed(temporary);
    std::ofstream file(temporary, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    file.close();
    std::error_code error;
    interruption.continue_or_wait();
    if (file) fs::rename(temporary, path, error);
    bool written = file && !error;
    if (!written) fs::remove(temporary, error);
    interruption.remove_doomed(temporary);
    if (!written) return refused(fmt::format("{}: cannot be written", path));
    return {};
}

}  // namespace graft::build
