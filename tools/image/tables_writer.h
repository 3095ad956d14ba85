// Writes the section that formats/image_tables.h describes. Pure: from lists to bytes, deterministic, sorts by itself.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "formats/image_tables.h"

namespace graft::tools {

struct TableSymbol {
    std::string name;
    std::string display;  // demangled; equal to `name` where there is nothing to demangle
    u32 offset = 0;
    u32 size = 0;
    formats::SymbolType type = formats::SymbolType::function;
    u8 flags = 0;     // alias and child are set by the writer
    int parent = -1;  // index in the given list, or -1
};

struct TablesInput {
    u64 image_base = 0;
    u32 text_begin = 0;
    u32 text_end = 0;
    u32 eh_frame = 0;
    u32 eh_frame_size = 0;
    formats::BuildId build_id{};
    std::vector<TableSymbol> symbols;
    std::vector<formats::ImageFrame> frames;
};

// The bytes of the section. A linkage name at more than 65535 addresses, or tables of 4 GiB, end the program with a
// message: no image is like that.
std::vector<std::byte> write_tables(const TablesInput& input);

}  // namespace graft::tools
