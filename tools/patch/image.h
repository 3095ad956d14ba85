// An image as the maker of a patch needs it: its symbols (through the tables that the image carries), and its bytes by
// address as they were linked.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/image_tables.h"
#include "tools/patch/object.h"

namespace graft::tools {

struct ImageFunction {
    std::string name;
    VirtAddr entry;
    u32 position = 0;
    bool has_site = false;
    bool no_patch = false;
    bool has_return = false;
    bool init_text = false;  // only runs while the image boots, and is gone then
    struct Part {
        VirtAddr begin;
        std::span<const std::byte> bytes;
    };
    std::vector<Part> parts;  // ascending
};

class Image {
public:
    static PackResult<Image> open(std::vector<std::byte> file, const std::string& path);

    const std::string& path() const { return path_; }
    const formats::BuildId& build_id() const { return tables_->build_id(); }

    // The function of that linkage name; `position` 0 asks for the only one.
    PackResult<ImageFunction> function(std::string_view name, u32 position) const;
    // The address of a function or object, for a reference by name. Symbols that are visible outside their translation
    // unit come before static ones; `position` 0 asks for the only one.
    PackResult<VirtAddr> address_of(std::string_view name, u32 position) const;
    // Is there a function or object of this name that is visible outside its translation unit?
    bool defines_global(std::string_view name) const;
    // Where such a one is, or a place that the linker script names.
    std::optional<VirtAddr> visible(std::string_view name) const;
    // The function that begins at `entry`, under its canonical name.
    PackResult<ImageFunction> function_at(VirtAddr entry) const;
    bool has_function_at(VirtAddr entry) const { return tables_->function_at_entry(entry).has_value(); }
    // Does a function begin there that only runs while the image boots, and is gone then?
    bool is_init_text(VirtAddr entry) const;
    // Is there a symbol of this name at this address?
    bool has_symbol(std::string_view name, VirtAddr address) const;
    // The function or object that holds `address`, and how far behind its first byte that is; an empty name: none.
    struct Place {
        std::string name;  // linkage name
        u64 offset = 0;
    };
    Place place_at(VirtAddr address) const;
    // `size` bytes as they were linked; empty when the file doesn't hold all of them.
    std::span<const std::byte> bytes(VirtAddr address, u64 size) const;

private:
    struct Segment {
        u64 address;
        std::span<const std::byte> bytes;
    };
    explicit Image(std::string path) : path_(std::move(path)) {}

    PackResult<void> read(std::vector<std::byte> file);
    std::vector<u32> named(std::string_view name) const;
    PackResult<u32> choose(std::string_view name, const std::vector<u32>& candidates, u32 position) const;
    PackResult<ImageFunction> describe(std::string_view name, u32 index) const;
    PackResult<void> add_part(ImageFunction& function, const formats::ImageSymbol& symbol) const;

    std::string path_;
    std::shared_ptr<const std::vector<std::byte>> file_;  // what the spans below point into
    std::vector<Segment> segments_;
    std::optional<formats::ImageTables> tables_;
};

// The name as a programmer writes it, with the linkage name behind it if that differs: "price(int) (_Z5pricei)".
std::string readable(std::string_view linkage_name);
// As people write it; the name itself when it isn't mangled.
std::string demangled(std::string_view linkage_name);

}  // namespace graft::tools
