#include "tools/graft/write_file.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

namespace graft::tool {

Outcome<void> write_whole_file(const std::string& path, std::span<const std::byte> bytes) {
    std::string temporary = fmt::format("{}.{}.part", path, ::getpid());
    std::ofstream file(temporary, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    file.close();
    std::error_code error;
    if (file) std::filesystem::rename(temporary, path, error);
    if (file && !error) return {};
    std::filesystem::remove(temporary, error);
    return refused(fmt::format("{}: cannot be written", path));
}

}  // namespace graft::tool
