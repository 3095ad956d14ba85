// Scratch: a private folder under $TMPDIR that goes with the object, or with an interruption. What a killed process has
// left there goes when the next one makes its own: a folder's `lock` is locked as long as its owner lives. And the one
// way in which a finished file appears: whole, or not at all.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/types.h"
#include "tools/build/interrupt.h"
#include "tools/graft/failure.h"
#include "tools/graft/unique_fd.h"

namespace graft::build {

class Scratch {
public:
    static tool::Outcome<std::unique_ptr<Scratch>> make(Interruption& interruption);
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    const std::filesystem::path& path() const { return path_; }

private:
    Scratch(Interruption& interruption, std::filesystem::path path, tool::UniqueFd lock)
        : interruption_(interruption), path_(std::move(path)), lock_(std::move(lock)) {}

    Interruption& interruption_;
    std::filesystem::path path_;
    tool::UniqueFd lock_;
};

// Makes a folder and those that lead there, but never a scratch folder: one that is missing was removed by an
// interruption.
bool make_folders(const std::filesystem::path& folder);

// Makes the folders that lead there.
tool::Outcome<void> write_text(const std::filesystem::path& path, std::string_view text);
tool::Outcome<std::string> read_text(const std::filesystem::path& path);

// Under a name of its own first, then renamed.
tool::Outcome<void> write_whole(Interruption& interruption, const std::string& path, std::span<const std::byte> bytes);

}  // namespace graft::build
