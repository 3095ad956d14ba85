// imagetables: what the build does with a linked image.
//
//   write IMAGE OUT           the bytes of .graft_tables for this image
//   build-id IMAGE            prints it in hexadecimal
//   check-link FIRST SECOND   the second link moved nothing and changed nothing before the tables
//   patchable IMAGE           prints which functions can't be patched and why; fails when too many or the wrong ones
//   rows IMAGE                call-frame information follows the stack pointer in every function

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "tools/image/tables_writer.h"
#include "tools/image/unwind_tables.h"

namespace graft::tools {

namespace {

constexpr usize kMaxNoPatch = 60;
constexpr usize kMaxUnpatchablePercent = 5;

u8 function_flags(const Function& function) {
    unsigned flags = 0;
    if (function.has_site) flags |= formats::kSymbolHasSite;
    if (function.no_patch) flags |= formats::kSymbolNoPatch;
    if (function.assembly) flags |= formats::kSymbolAssembly;
    if (function.has_return) flags |= formats::kSymbolHasReturn;
    if (function.init_text) flags |= formats::kSymbolInitText;
    return static_cast<u8>(flags);
}

std::vector<TableSymbol> table_symbols(const ElfImage& image, const FunctionList& functions) {
    const u64 base = image.bound("__image_begin");
    const u64 end = image.bound("__graft_tables_begin");
    std::vector<TableSymbol> symbols;
    std::map<u64, int> first_at;
    for (const ElfSymbol& symbol : image.symbols()) {
        bool function = symbol.type == STT_FUNC;
        bool mark = symbol.type == STT_NOTYPE && !symbol.local;
        if (!function && !mark && symbol.type != STT_OBJECT) continue;
        if (symbol.address < base || symbol.address > end) continue;
        TableSymbol entry{symbol.name,
                          demangled(symbol.name),
                          static_cast<u32>(symbol.address - base),
                          mark ? 0 : static_cast<u32>(symbol.size),
                          formats::SymbolType::object,
                          0,
                          -1};
        if (mark) entry.type = formats::SymbolType::mark;
        if (function) {
            entry.type = formats::SymbolType::function;
            entry.flags = function_flags(functions.all().at(symbol.address));
            first_at.try_emplace(symbol.address, static_cast<int>(symbols.size()));
        }
        if (symbol.local) entry.flags |= formats::kSymbolLocal;
        symbols.push_back(entry);
    }
    for (TableSymbol& entry : symbols) {
        if (entry.type != formats::SymbolType::function) continue;
        u64 parent = functions.all().at(base + entry.offset).parent;
        if (parent != 0) entry.parent = first_at.at(parent);
    }
    return symbols;
}

int write(const std::string& path, const std::string& out) {
    ElfImage image(path);
    FunctionList functions(image);
    functions.compute_no_patch(image);
    TablesInput input;
    input.image_base = image.bound("__image_begin");
    auto offset = [&](const char* name) { return static_cast<u32>(image.bound(name) - input.image_base); };
    input.text_begin = offset("__text_begin");
    input.text_end = offset("__text_end");
    input.eh_frame = offset("__eh_frame_begin");
    input.eh_frame_size = offset("__eh_frame_end") - input.eh_frame;
    input.build_id = image.build_id();
    input.symbols = table_symbols(image, functions);
    input.frames = read_frames(image);
    auto bytes = write_tables(input);
    if (!formats::ImageTables::open(bytes)) stop(path + ": the tables written can't be read");
    std::ofstream file(out, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) stop(out + ": can't be written");
    return 0;
}

int print_build_id(const std::string& path) {
    for (u8 byte : ElfImage(path).build_id()) std::printf("%02x", byte);
    std::printf("\n");
    return 0;
}

// A field that holds the address of the tables' end differs by their growth; nothing else may differ.
bool explained(std::span<const std::byte> first, std::span<const std::byte> second, usize at, u32 growth) {
    for (usize start = at < 3 ? 0 : at - 3; start <= at && start + 4 <= first.size(); ++start) {
        u32 old_value = 0;
        u32 new_value = 0;
        std::memcpy(&old_value, first.data() + start, 4);
        std::memcpy(&new_value, second.data() + start, 4);
        if (new_value - old_value == growth) return true;
    }
    return false;
}

void compare_segments(const ElfImage& first, const ElfImage& second) {
    const u64 tables = first.bound("__graft_tables_begin");
    const u64 end_growth = second.bound("__graft_tables_end") - first.bound("__graft_tables_end");
    const u64 page_growth = second.bound("__image_end") - first.bound("__image_end");
    for (const Segment& segment : first.segments()) {
        if (segment.address >= tables) continue;
        auto other = second.bytes(segment.address, segment.bytes.size());
        if (other.size() != segment.bytes.size()) stop("second link: a segment has moved");
        for (usize i = 0; i < other.size(); ++i) {
            if (other[i] == segment.bytes[i]) continue;
            bool known = explained(segment.bytes, other, i, static_cast<u32>(end_growth)) ||
                         explained(segment.bytes, other, i, static_cast<u32>(page_growth));
            if (!known) {
                stop("second link: content has changed at " + hex_text(segment.address + i));
            }
            i += 3;
        }
    }
}

int check_link(const std::string& first_path, const std::string& second_path) {
    ElfImage first(first_path);
    ElfImage second(second_path);
    const u64 tables = first.bound("__graft_tables_begin");
    auto placed = [&](const ElfImage& image) {
        std::vector<std::tuple<u64, std::string, u64, unsigned>> list;
        for (const ElfSymbol& symbol : image.symbols())
            if (symbol.address <= tables) list.emplace_back(symbol.address, symbol.name, symbol.size, symbol.type);
        std::sort(list.begin(), list.end());
        return list;
    };
    auto before = placed(first);
    auto after = placed(second);
    std::erase_if(before, [](auto& entry) {
        return std::get<1>(entry) == "__graft_tables_end" || std::get<1>(entry) == "__image_end";
    });
    std::erase_if(after, [](auto& entry) {
        return std::get<1>(entry) == "__graft_tables_end" || std::get<1>(entry) == "__image_end";
    });
    auto [left, right] = std::mismatch(before.begin(), before.end(), after.begin(), after.end());
    if (left != before.end() || right != after.end())
        stop("second link: symbol " + std::get<1>(left != before.end() ? *left : *right) + " has moved");
    if (first.build_id() != second.build_id()) stop("second link: another build-id");
    compare_segments(first, second);
    return 0;
}

// Why a function can't be patched; empty when it can.
std::string exception(const Function& function, bool framed) {
    if (function.no_patch) return function.via;
    if (function.start_code) return "start code";
    if (function.assembly) return "assembly";
    if (function.init_text) return "only runs while the image boots";
    if (function.thunk) return "";  // its target can
    if (!function.compiled) return "of unknown origin: no debug information";
    if (!function.has_site) return "compiled without a call site";
    if (!framed) return "no frame description";
    return "";
}

int patchable(const std::string& path) {
    ElfImage image(path);
    FunctionList functions(image);
    auto violations = functions.compute_no_patch(image);
    auto frames = read_frames(image);
    const u64 base = image.bound("__image_begin");
    auto framed = [&](const Function& function) {
        auto place = std::upper_bound(frames.begin(), frames.end(), function.entry - base,
                                      [](u64 offset, auto& frame) { return offset < frame.begin; });
        if (place == frames.begin()) return false;
        --place;
        return function.entry - base >= place->begin &&
               function.entry - base + function.size <= place->begin + place->size;
    };
    usize total = 0, init = 0, able = 0, listed = 0, assembly = 0, wrong = 0;
    for (const auto& [entry, function] : functions.all()) {
        if (function.parent != 0) continue;
        ++total;
        std::string reason = exception(function, framed(function));
        if (function.no_patch) ++listed;
        if (reason.empty()) {
            ++able;
            continue;
        }
        bool outside = !function.no_patch && (function.assembly || function.start_code);
        if (outside) ++assembly;
        if (function.init_text) ++init;
        if (!function.no_patch && !function.init_text && !outside) ++wrong;
        std::printf("%s: %s\n", demangled(function.name()).c_str(), reason.c_str());
    }
    for (const std::string& violation : violations) std::printf("not closed: %s\n", violation.c_str());
    usize running = total - init;
    bool small = listed <= kMaxNoPatch && (listed + assembly) * 100 <= running * kMaxUnpatchablePercent;
    if (!small)
        std::printf("too many: %zu on the list (at most %zu), %zu more in assembly (together at most %zu%% of %zu)\n",
                    listed, kMaxNoPatch, assembly, kMaxUnpatchablePercent, running);
    std::printf("patchable: functions=%zu init=%zu patchable=%zu share=%.1f%% nopatch=%zu\n", total, init, able,
                running == 0 ? 0.0 : 100.0 * static_cast<double>(able) / static_cast<double>(running), listed);
    return violations.empty() && wrong == 0 && small ? 0 : 1;
}

int rows(const std::string& path) {
    ElfImage image(path);
    FunctionList functions(image);
    read_frames(image);
    auto findings = check_rows(image, functions);
    for (const std::string& finding : findings) std::fprintf(stderr, "%s\n", finding.c_str());
    std::printf("rows: functions=%zu findings=%zu\n", functions.all().size(), findings.size());
    return findings.empty() ? 0 : 1;
}

}  // namespace

}  // namespace graft::tools

int main(int argc, char** argv) {
    using namespace graft::tools;
    std::vector<std::string> words(argv + 1, argv + argc);
    std::string command = words.empty() ? "" : words[0];
    if (command == "write" && words.size() == 3) return write(words[1], words[2]);
    if (command == "build-id" && words.size() == 2) return print_build_id(words[1]);
    if (command == "check-link" && words.size() == 3) return check_link(words[1], words[2]);
    if (command == "patchable" && words.size() == 2) return patchable(words[1]);
    if (command == "rows" && words.size() == 2) return rows(words[1]);
    std::fprintf(stderr,
                 "usage: imagetables write IMAGE OUT | build-id IMAGE | check-link FIRST SECOND | patchable IMAGE | "
                 "rows IMAGE\n");
    return 2;
}
