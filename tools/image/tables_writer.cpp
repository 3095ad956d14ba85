#include "tools/image/tables_writer.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <numeric>
#include <tuple>
#include <unordered_map>

namespace graft::tools {

using formats::ImageFrame;
using formats::ImageSymbol;
using formats::ImageTablesHeader;

namespace {

class StringPool {
public:
    StringPool() { bytes_.push_back('\0'); }

    u32 add(const std::string& text) {
        if (text.empty()) return 0;
        auto [place, inserted] = places_.try_emplace(text, static_cast<u32>(bytes_.size()));
        if (inserted) bytes_.insert(bytes_.end(), text.c_str(), text.c_str() + text.size() + 1);
        return place->second;
    }
    const std::vector<char>& bytes() const { return bytes_; }

private:
    std::vector<char> bytes_;
    std::unordered_map<std::string, u32> places_;
};

// Of several symbols at one address the canonical one comes first: functions before objects before marks, visible
// before local, then by name.
auto order_key(const TableSymbol& symbol) {
    return std::tuple(symbol.offset, symbol.type, (symbol.flags & formats::kSymbolLocal) != 0,
                      std::string_view(symbol.name), symbol.size);
}

template <typename T>
void append(std::vector<std::byte>& out, const T& value) {
    auto* bytes = reinterpret_cast<const std::byte*>(&value);
    out.insert(out.end(), bytes, bytes + sizeof(T));
}

void assign_positions(std::vector<ImageSymbol>& entries, const std::vector<const TableSymbol*>& sorted) {
    std::map<std::string_view, std::pair<u32, u32>> last;  // name → (rank, offset) of the latest
    for (usize i = 0; i < entries.size(); ++i) {
        auto [place, first] = last.try_emplace(sorted[i]->name, 1, entries[i].offset);
        auto& [rank, offset] = place->second;
        if (!first && offset != entries[i].offset) ++rank;
        offset = entries[i].offset;
        if (rank > 0xffff) {
            std::fprintf(stderr, "imagetables: %s: more than 65535 addresses of one name\n", sorted[i]->name.c_str());
            std::exit(1);
        }
        entries[i].position = static_cast<u16>(rank);
    }
}

void mark_aliases(std::vector<ImageSymbol>& entries) {
    for (usize i = 0; i + 1 < entries.size(); ++i) {
        bool shared = entries[i].offset == entries[i + 1].offset && entries[i].type == entries[i + 1].type &&
                      entries[i].type != formats::SymbolType::mark;
        if (!shared) continue;
        entries[i].flags |= formats::kSymbolAlias;
        entries[i + 1].flags |= formats::kSymbolAlias;
    }
}

}  // namespace

std::vector<std::byte> write_tables(const TablesInput& input) {
    std::vector<u32> order(input.symbols.size());
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(),
                     [&](u32 a, u32 b) { return order_key(input.symbols[a]) < order_key(input.symbols[b]); });
    std::vector<u32> place(order.size());
    for (u32 i = 0; i < order.size(); ++i) place[order[i]] = i;

    StringPool pool;
    std::vector<ImageSymbol> entries;
    std::vector<const TableSymbol*> sorted;
    u32 children = 0;
    for (u32 i = 0; i < order.size(); ++i) {
        const TableSymbol& symbol = input.symbols[order[i]];
        ImageSymbol entry{symbol.offset, symbol.size, pool.add(symbol.name), pool.add(symbol.display), i, 1,
                          symbol.type,   symbol.flags};
        if (symbol.parent >= 0) {
            entry.parent = place[static_cast<usize>(symbol.parent)];
            entry.flags |= formats::kSymbolChild;
            ++children;
        }
        entries.push_back(entry);
        sorted.push_back(&symbol);
    }
    assign_positions(entries, sorted);
    mark_aliases(entries);

    std::vector<u32> names(entries.size());
    std::iota(names.begin(), names.end(), 0u);
    std::sort(names.begin(), names.end(),
              [&](u32 a, u32 b) { return std::tie(sorted[a]->name, a) < std::tie(sorted[b]->name, b); });
    std::vector<ImageFrame> frames = input.frames;
    std::sort(frames.begin(), frames.end(), [](auto& a, auto& b) { return a.begin < b.begin; });

    ImageTablesHeader header{};
    header.magic = formats::kImageTablesMagic;
    header.version = formats::kImageTablesVersion;
    header.image_base = input.image_base;
    header.text_begin = input.text_begin;
    header.text_end = input.text_end;
    header.symbol_count = static_cast<u32>(entries.size());
    header.symbols_at = sizeof(header);
    header.name_order_at = header.symbols_at + static_cast<u32>(entries.size() * sizeof(ImageSymbol));
    header.frames_at = header.name_order_at + static_cast<u32>(names.size() * sizeof(u32));
    header.frame_count = static_cast<u32>(frames.size());
    header.strings_at = header.frames_at + static_cast<u32>(frames.size() * sizeof(ImageFrame));
    header.strings_size = static_cast<u32>(pool.bytes().size());
    header.eh_frame = input.eh_frame;
    header.eh_frame_size = input.eh_frame_size;
    header.child_count = children;
    header.build_id = input.build_id;
    u64 total = u64{header.strings_at} + header.strings_size;
    if (total > 0x7fffffff) {
        std::fprintf(stderr, "imagetables: tables of %llu bytes\n", static_cast<unsigned long long>(total));
        std::exit(1);
    }
    header.total_size = static_cast<u32>(total);

    std::vector<std::byte> out;
    out.reserve(total);
    append(out, header);
    for (const auto& entry : entries) append(out, entry);
    for (u32 index : names) append(out, index);
    for (const auto& frame : frames) append(out, frame);
    for (char character : pool.bytes()) append(out, character);
    return out;
}

}  // namespace graft::tools
