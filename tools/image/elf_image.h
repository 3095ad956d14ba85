// A linked image as its tools see it: symbols, bytes by address, the bounds that the linker script defines.
#pragma once

#include <libelf.h>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "formats/image_tables.h"

namespace graft::tools {

// Ends the program with exit code 1: the build stops here.
[[noreturn]] void stop(const std::string& message);

struct ElfSymbol {
    std::string name;
    std::string file;  // the translation unit of a local symbol, else empty
    u64 address;
    u64 size;
    unsigned type;  // STT_*
    bool local;
};

struct Segment {
    u64 address;
    std::span<const std::byte> bytes;  // in the file
    u64 size;                          // in memory
    unsigned flags;                    // PF_*
};

class ElfImage {
public:
    explicit ElfImage(const std::string& path);
    ~ElfImage();
    ElfImage(const ElfImage&) = delete;
    ElfImage& operator=(const ElfImage&) = delete;

    const std::string& path() const { return path_; }
    Elf* elf() const { return elf_; }
    const std::vector<ElfSymbol>& symbols() const { return symbols_; }
    const std::vector<Segment>& segments() const { return segments_; }
    // The address of a symbol that must be there.
    u64 bound(const std::string& name) const;
    AddressRange range(const std::string& begin, const std::string& end) const {
        return {VirtAddr(bound(begin)), VirtAddr(bound(end))};
    }
    // `size` bytes of the file at an address of the image; empty when they are not all there.
    std::span<const std::byte> bytes(u64 address, u64 size) const;
    formats::BuildId build_id() const;

private:
    void read_segments();
    void read_symbols();

    std::string path_;
    int fd_ = -1;
    Elf* elf_ = nullptr;
    std::vector<ElfSymbol> symbols_;
    std::map<std::string, u64> globals_;
    std::vector<Segment> segments_;
};

}  // namespace graft::tools
