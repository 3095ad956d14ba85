#include "tools/graft/inspect_diff.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "tools/build/baseline.h"
#include "tools/differ/equality.h"
#include "tools/differ/listing.h"
#include "tools/differ/unit_object.h"
#include "tools/patch/image.h"

namespace graft::tool {
namespace {

using differ::ListedInstruction;

constexpr u64 kLongestString = 64;

Outcome<tools::Image> open_image(const std::string& base) {
    std::string path = base;
    if (std::filesystem::is_directory(base)) path = GRAFT_TRY(build::Baseline::open(base)).image().string();
    auto bytes = tools::read_file(path);
    if (!bytes) return refused(bytes.error().text);
    auto image = tools::Image::open(std::move(*bytes), path);
    if (!image) return refused(image.error().text);
    return std::move(*image);
}

// What lies at an address of the image, in the words that the patch's own references have.
std::string name_in_image(const tools::Image& image, u64 address) {
    tools::Image::Place place = image.place_at(VirtAddr(address));
    if (!place.name.empty()) {
        std::string name = fmt::format("'{}'", differ::demangled(place.name));
        return place.offset == 0 ? name : fmt::format("{}+{:#x}", name, place.offset);
    }
    // Literals have no symbols: those that look like text are shown as such.
    std::span<const std::byte> bytes;
    for (u64 size = kLongestString; size > 0 && bytes.empty(); size /= 2) bytes = image.bytes(VirtAddr(address), size);
    auto end = std::ranges::find(bytes, std::byte{0});
    auto is_text = [](std::byte byte) {
        return byte == std::byte{'\n'} || (byte >= std::byte{' '} && byte < std::byte{0x7f});
    };
    if (end == bytes.begin() || end == bytes.end() || !std::all_of(bytes.begin(), end, is_text)) return {};
    return "the string " + differ::quoted(bytes);
}

std::vector<ListedInstruction> list_old(const tools::Image& image, const formats::KlpFunction& function) {
    differ::CodeNames names;
    names.address = [&](u64 address) { return name_in_image(image, address); };
    std::vector<ListedInstruction> listed;
    Reader reader(function.encoded_ranges);
    for (u32 i = 0; i < function.range_count; ++i) {
        auto range = formats::KlpFunction::next_range(reader);
        auto part = differ::list_code(range.bytes, range.begin.value, names);
        listed.insert(listed.end(), part.begin(), part.end());
    }
    return listed;
}

}  // namespace

Outcome<std::vector<FunctionDiff>> function_diffs(std::span<const std::byte> object,
                                                  const formats::KlpMetadata& metadata, const std::string& path,
                                                  const std::string& base) {
    tools::Image image = GRAFT_TRY(open_image(base));
    if (image.build_id() != metadata.header().build_id)
        return refused(fmt::format("{}: made for build {:02x}, but {} is {:02x}", path,
                                   fmt::join(metadata.header().build_id, ""), image.path(),
                                   fmt::join(image.build_id(), "")));
    auto patch = differ::UnitObject::read(object, path);
    if (!patch) return refused(patch.error().text);
    std::vector<FunctionDiff> diffs;
    for (usize cursor = 0; auto function = metadata.next_function(cursor);) {
        if (function->tag == formats::KlpTag::hold) continue;
        FunctionDiff diff{
            .old_name = std::string(function->name), .position = function->position, .new_name = {}, .lines = {}};
        if (function->symbol >= patch->object().symbols.size())
            return refused(fmt::format("{}: {}: its new function isn't in the patch", path, function->name));
        const tools::ObjectSymbol& symbol = patch->object().symbols[function->symbol];
        diff.new_name = symbol.name;
        u32 item = patch->at(symbol.section, static_cast<i64>(symbol.value));
        if (item == 0) return refused(fmt::format("{}: {}: its new function isn't in the patch", path, function->name));
        diff.lines = differ::difference_of(list_old(image, *function), differ::list_item(*patch, item));
        diffs.push_back(std::move(diff));
    }
    return diffs;
}

}  // namespace graft::tool
