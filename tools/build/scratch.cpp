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

namespace {

constexpr std::string_view kPrefix = "graft-build.";

}  // namespace

Outcome<std::unique_ptr<Scratch>> Scratch::make(Interruption& interruption) {
    const char* parent = std::getenv("TMPDIR");
    std::string pattern =
        fs::path(parent != nullptr && *parent != '\0' ? parent : "/tmp") / (std::string(kPrefix) + "XXXXXX");
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

bool make_folders(const fs::path& folder) {
    std::error_code error;
    if (fs::is_directory(folder, error)) return true;
    if (folder.filename().string().starts_with(kPrefix) || !folder.has_relative_path()) return false;
    return make_folders(folder.parent_path()) && (fs::create_directory(folder, error) || !error);
}

Outcome<void> write_text(const fs::path& path, std::string_view text) {
    make_folders(path.parent_path());
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
    bool written = interruption.conclude([&] {
        if (file) fs::rename(temporary, path, error);
        return file && !error;
    });
    if (!written) fs::remove(temporary, error);
    interruption.remove_doomed(temporary);
    if (!written) return refused(fmt::format("{}: cannot be written", path));
    return {};
}

}  // namespace graft::build
