#include "tools/build/scratch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
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
using tool::UniqueFd;

namespace {

constexpr std::string_view kPrefix = "graft-build.";
constexpr const char* kLock = "lock";

// Under its name only when it is locked, so that nobody finds it free.
UniqueFd make_lock(const fs::path& folder) {
    fs::path fresh = folder / "new-lock";
    UniqueFd lock(::open(fresh.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    if (lock.get() < 0 || ::flock(lock.get(), LOCK_EX) != 0) return {};
    std::error_code error;
    fs::rename(fresh, folder / kLock, error);
    return error ? UniqueFd() : std::move(lock);
}

bool is_abandoned(const fs::path& folder) {
    struct stat status{};
    if (::lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid()) return false;
    UniqueFd lock(::open((folder / kLock).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    return lock.get() >= 0 && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0;
}

void remove_abandoned(const fs::path& parent) {
    std::error_code error;
    std::vector<fs::path> abandoned;
    for (fs::directory_iterator at(parent, error), end; !error && at != end; at.increment(error)) {
        if (at->path().filename().string().starts_with(kPrefix) && is_abandoned(at->path()))
            abandoned.push_back(at->path());
    }
    for (const fs::path& folder : abandoned) fs::remove_all(folder, error);
}

}  // namespace

Outcome<std::unique_ptr<Scratch>> Scratch::make(Interruption& interruption) {
    const char* wanted = std::getenv("TMPDIR");
    fs::path parent = wanted != nullptr && *wanted != '\0' ? wanted : "/tmp";
    remove_abandoned(parent);
    std::string pattern = parent / (std::string(kPrefix) + "XXXXXX");
    std::vector<char> name(pattern.begin(), pattern.end());
    name.push_back('\0');
    if (::mkdtemp(name.data()) == nullptr) return fail(tool::system_failure(ExitCode::refused, pattern));
    std::error_code error;
    fs::path path = fs::canonical(name.data(), error);
    interruption.add_doomed(path);
    return std::unique_ptr<Scratch>(new Scratch(interruption, path, make_lock(path)));
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
