#include "tools/differ/call_graph.h"

#include <Zydis/Zydis.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "tools/differ/differ.h"

namespace graft::differ {

using tools::pack_error;
using tools::PackResult;

namespace {

struct Section {
    std::string name;
    u64 address = 0;
    u64 flags = 0;
    std::span<const std::byte> bytes;

    bool contains(u64 at) const { return at - address < bytes.size(); }
    bool is_start() const { return name.starts_with(".boot"); }
    bool is_code() const { return (flags & SHF_EXECINSTR) != 0; }
    // Words of it are addresses that the image uses.
    bool has_pointers() const {
        return !is_code() && !is_start() && name != ".graft_tables" && name != ".eh_frame" && !is_constructors();
    }
    bool is_constructors() const { return name.starts_with(".init_array") || name.starts_with(".ctors"); }
};

constexpr int kShownCallers = 4;

enum class Flow : u8 { next, jump, branch, indirect_jump, end };

struct Step {
    u64 at = 0;
    u64 next = 0;
    Flow flow = Flow::next;
    u64 target = 0;  // of a direct call or jump
    bool is_call = false;
};

bool is_memory_or_immediate(const ZydisDecodedOperand& operand) {
    return operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE || operand.type == ZYDIS_OPERAND_TYPE_MEMORY;
}

// "graft::kernel::start(int)" without its parameters; "(anonymous namespace)" and "operator()" stay.
std::string without_parameters(const std::string& name) {
    for (usize at = name.find('('); at != std::string::npos; at = name.find('(', at + 1)) {
        if (name.compare(at, 21, "(anonymous namespace)") == 0 || name.substr(0, at).ends_with("operator")) continue;
        return name.substr(0, at);
    }
    return name;
}

struct ElfDeleter {
    void operator()(Elf* elf) const { ::elf_end(elf); }
};

}  // namespace

class CallGraphReader {
public:
    CallGraphReader(CallGraph& graph, const std::string& path) : nodes_(graph.nodes_), path_(path) {}
    PackResult<void> read(std::span<const std::byte> image);

private:
    PackResult<void> read_sections(Elf* elf, std::span<const std::byte> image);
    PackResult<void> read_symbols(Elf* elf);
    void decode_all();
    void decode(const Section& section, u64 begin, u64 end, CodeNode* node);
    void take_operands(const ZydisDecodedInstruction& instruction, const ZydisDecodedOperand* operands, u64 at,
                       const CodeNode* by);
    void take(u64 address, const CodeNode* by);
    void add_calls(CodeNode& node, const std::vector<Step>& steps);
    void find_repeats();
    bool comes_back(const std::vector<Step>& steps, usize from) const;
    bool never_returns(u64 target) const;
    void take_data();
    void find_live();
    CodeNode* holder(u64 address);

    std::map<u64, CodeNode>& nodes_;
    const std::string& path_;
    std::vector<Section> sections_;
    std::set<u64> called_from_nowhere_;         // by code without a symbol
    std::map<u64, std::vector<Step>> endless_;  // the code of functions without a return
    ZydisDecoder decoder_{};
};

PackResult<void> CallGraphReader::read(std::span<const std::byte> image) {
    ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    std::vector<std::byte> copy(image.begin(), image.end());
    ::elf_version(EV_CURRENT);
    std::unique_ptr<Elf, ElfDeleter> elf(::elf_memory(reinterpret_cast<char*>(copy.data()), copy.size()));
    if (!elf || ::elf_kind(elf.get()) != ELF_K_ELF) return pack_error(path_ + ": not an ELF image");
    GRAFT_CHECK(read_sections(elf.get(), image));
    GRAFT_CHECK(read_symbols(elf.get()));
    decode_all();
    find_repeats();
    take_data();
    find_live();
    return {};
}

PackResult<void> CallGraphReader::read_sections(Elf* elf, std::span<const std::byte> image) {
    usize names = 0;
    ::elf_getshdrstrndx(elf, &names);
    for (Elf_Scn* section = nullptr; (section = ::elf_nextscn(elf, section)) != nullptr;) {
        GElf_Shdr header;
        if (!::gelf_getshdr(section, &header)) return pack_error(path_ + ": a section header is unreadable");
        if ((header.sh_flags & SHF_ALLOC) == 0 || header.sh_type == SHT_NOBITS) continue;
        if (header.sh_offset > image.size() || header.sh_size > image.size() - header.sh_offset)
            return pack_error(path_ + ": a section lies outside the file");
        const char* name = ::elf_strptr(elf, names, header.sh_name);
        sections_.push_back(
            {name ? name : "", header.sh_addr, header.sh_flags, image.subspan(header.sh_offset, header.sh_size)});
    }
    return {};
}

PackResult<void> CallGraphReader::read_symbols(Elf* elf) {
    for (Elf_Scn* section = nullptr; (section = ::elf_nextscn(elf, section)) != nullptr;) {
        GElf_Shdr header;
        if (!::gelf_getshdr(section, &header) || header.sh_type != SHT_SYMTAB) continue;
        Elf_Data* data = ::elf_getdata(section, nullptr);
        usize count = data && header.sh_entsize != 0 ? data->d_size / header.sh_entsize : 0;
        for (usize i = 0; i < count; ++i) {
            GElf_Sym symbol;
            if (!::gelf_getsym(data, static_cast<int>(i), &symbol) || GELF_ST_TYPE(symbol.st_info) != STT_FUNC)
                continue;
            const char* name = ::elf_strptr(elf, header.sh_link, symbol.st_name);
            CodeNode& node = nodes_[symbol.st_value];
            node.entry = symbol.st_value;
            node.size = std::max(node.size, symbol.st_size);
            node.names.emplace_back(name ? name : "");
            node.weak = node.weak || GELF_ST_BIND(symbol.st_info) == STB_WEAK;
        }
    }
    for (auto& [entry, node] : nodes_) {
        std::sort(node.names.begin(), node.names.end());
        node.names.erase(std::unique(node.names.begin(), node.names.end()), node.names.end());
    }
    if (nodes_.empty()) return pack_error(path_ + ": no symbol table: it must not be stripped");
    return {};
}

CodeNode* CallGraphReader::holder(u64 address) {
    auto after = nodes_.upper_bound(address);
    if (after == nodes_.begin()) return nullptr;
    CodeNode& node = std::prev(after)->second;
    return node.contains(address) || node.entry == address ? &node : nullptr;
}

void CallGraphReader::decode_all() {
    for (const Section& section : sections_) {
        if (!section.is_code()) continue;
        u64 at = section.address;
        const u64 end = section.address + section.bytes.size();
        auto node = nodes_.lower_bound(at);
        for (; node != nodes_.end() && node->first < end; ++node) {
            CodeNode& function = node->second;
            function.start_code = section.is_start();
            function.init_text = section.name == ".init.text";
            if (at < function.entry) decode(section, at, function.entry, nullptr);
            u64 function_end = std::min(function.entry + function.size, end);
            if (function_end > function.entry) decode(section, function.entry, function_end, &function);
            at = std::max(at, function_end);
        }
        if (at < end) decode(section, at, end, nullptr);
    }
    for (auto& [entry, node] : nodes_) {
        for (const CodeCall& call : node.calls) nodes_[call.target].callers.push_back(entry);
    }
    for (auto& [entry, node] : nodes_) {
        std::sort(node.callers.begin(), node.callers.end());
        node.callers.erase(std::unique(node.callers.begin(), node.callers.end()), node.callers.end());
    }
}

// `node` null: code, or filling, that no function symbol covers.
void CallGraphReader::decode(const Section& section, u64 begin, u64 end, CodeNode* node) {
    std::vector<Step> steps;
    // The start code is 32-bit in part: only what is found in its bytes counts.
    if (section.is_start()) return;
    for (u64 at = begin; at < end;) {
        ZydisDecodedInstruction instruction;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        const std::byte* code = section.bytes.data() + (at - section.address);
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_, code, end - at, &instruction, operands))) {
            if (node) node->decoded = false;
            ++at;
            continue;
        }
        Step step{.at = at, .next = at + instruction.length, .flow = Flow::next, .target = 0, .is_call = false};
        const auto category = instruction.meta.category;
        step.is_call = category == ZYDIS_CATEGORY_CALL;
        bool jumps = category == ZYDIS_CATEGORY_UNCOND_BR || category == ZYDIS_CATEGORY_COND_BR;
        ZyanU64 target = 0;
        bool direct = (step.is_call || jumps) && operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
                      ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&instruction, &operands[0], at, &target));
        if (direct) step.target = target;
        if (category == ZYDIS_CATEGORY_RET || instruction.mnemonic == ZYDIS_MNEMONIC_UD2) step.flow = Flow::end;
        if (category == ZYDIS_CATEGORY_UNCOND_BR) step.flow = direct ? Flow::jump : Flow::indirect_jump;
        if (category == ZYDIS_CATEGORY_COND_BR) step.flow = Flow::branch;
        if (node && category == ZYDIS_CATEGORY_RET) node->has_return = true;
        if (!direct) take_operands(instruction, operands, at, node);
        steps.push_back(step);
        at = step.next;
    }
    if (node) {
        add_calls(*node, steps);
        if (!node->has_return) endless_[node->entry] = std::move(steps);
        return;
    }
    for (const Step& step : steps) {
        if (CodeNode* target = step.target ? holder(step.target) : nullptr) called_from_nowhere_.insert(target->entry);
    }
}

void CallGraphReader::add_calls(CodeNode& node, const std::vector<Step>& steps) {
    for (const Step& step : steps) {
        if (step.target == 0 || node.contains(step.target)) continue;
        const CodeNode* target = holder(step.target);
        if (!target) continue;
        if (!step.is_call) node.has_return = true;
        node.calls.push_back({.at = step.at, .target = target->entry, .repeats = false});
    }
}

// Only where it matters: what returns runs once for each time that it is called.
void CallGraphReader::find_repeats() {
    for (auto& [entry, steps] : endless_) {
        for (CodeCall& call : nodes_[entry].calls) {
            auto step = std::find_if(steps.begin(), steps.end(), [&](const Step& one) { return one.at == call.at; });
            call.repeats = comes_back(steps, static_cast<usize>(step - steps.begin()));
        }
    }
}

bool CallGraphReader::never_returns(u64 target) const {
    auto found = nodes_.find(target);
    return found != nodes_.end() && found->second.decoded && found->second.size != 0 && !found->second.has_return;
}

// Can control come to a step again after it has been there?
bool CallGraphReader::comes_back(const std::vector<Step>& steps, usize from) const {
    std::vector<bool> seen(steps.size(), false);
    std::deque<usize> open;
    auto go = [&](u64 address) {
        auto found = std::lower_bound(steps.begin(), steps.end(), address,
                                      [](const Step& step, u64 value) { return step.at < value; });
        if (found == steps.end() || found->at != address) return;
        auto index = static_cast<usize>(found - steps.begin());
        if (!seen[index]) open.push_back(index);
        seen[index] = true;
    };
    auto leave = [&](const Step& step) {
        bool goes_on = step.flow == Flow::next || step.flow == Flow::branch;
        // After a call of what never returns stands some other part of the function.
        if (goes_on && !(step.is_call && never_returns(step.target))) go(step.next);
        if (!step.is_call && step.target != 0) go(step.target);
    };
    leave(steps[from]);
    while (!open.empty()) {
        const Step& step = steps[open.front()];
        open.pop_front();
        // A switch goes to places that only its table knows.
        if (step.flow == Flow::indirect_jump) return true;
        leave(step);
    }
    return seen[from];
}

// ---- addresses taken ------------------------------------------------------------------------------------------------

void CallGraphReader::take(u64 address, const CodeNode* by) {
    auto found = nodes_.find(address);
    if (found != nodes_.end() && &found->second != by) found->second.address_taken = true;
}

void CallGraphReader::take_operands(const ZydisDecodedInstruction& instruction, const ZydisDecodedOperand* operands,
                                    u64 at, const CodeNode* by) {
    for (ZyanU8 i = 0; i < instruction.operand_count; ++i) {
        const ZydisDecodedOperand& operand = operands[i];
        if (!is_memory_or_immediate(operand)) continue;
        if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
            take(operand.imm.value.u, by);
            take(static_cast<u64>(static_cast<i64>(static_cast<i32>(operand.imm.value.u))), by);
            continue;
        }
        ZyanU64 target = 0;
        if (ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&instruction, &operand, at, &target))) take(target, by);
        if (operand.mem.disp.has_displacement) take(static_cast<u64>(operand.mem.disp.value), by);
    }
}

void CallGraphReader::take_data() {
    for (const Section& section : sections_) {
        bool by_start = section.is_start();
        if (!by_start && !section.is_constructors() && !section.has_pointers()) continue;
        usize step = by_start ? 1 : 8;
        for (usize at = 0; at + 8 <= section.bytes.size(); at += step) {
            u64 word = 0;
            std::memcpy(&word, section.bytes.data() + at, sizeof(word));
            auto found = nodes_.find(word);
            if (found == nodes_.end()) continue;
            CodeNode& node = found->second;
            (by_start                    ? node.called_at_start
             : section.is_constructors() ? node.constructor
                                         : node.address_taken) = true;
        }
    }
}

// ---- what may run later ---------------------------------------------------------------------------------------------

void CallGraphReader::find_live() {
    std::deque<CodeNode*> open;
    auto make_live = [&](CodeNode& node) {
        if (!node.live) open.push_back(&node);
        node.live = true;
    };
    for (auto& [entry, node] : nodes_) {
        bool begins = node.callers.empty() && !node.start_code && !node.constructor && !node.called_at_start;
        if (node.address_taken || begins || called_from_nowhere_.contains(entry)) make_live(node);
        if (node.has_return) continue;
        for (const CodeCall& call : node.calls)
            if (call.repeats) make_live(nodes_[call.target]);
    }
    while (!open.empty()) {
        CodeNode& node = *open.front();
        open.pop_front();
        for (const CodeCall& call : node.calls) make_live(nodes_[call.target]);
    }
}

PackResult<CallGraph> CallGraph::read(std::span<const std::byte> image, const std::string& path) {
    CallGraph graph;
    GRAFT_CHECK(CallGraphReader(graph, path).read(image));
    return graph;
}

const CodeNode* CallGraph::at(u64 address) const {
    auto after = nodes_.upper_bound(address);
    if (after == nodes_.begin()) return nullptr;
    const CodeNode& node = std::prev(after)->second;
    return node.contains(address) || node.entry == address ? &node : nullptr;
}

bool CallGraph::is_boot_only(u64 entry) const {
    auto found = nodes_.find(entry);
    return found != nodes_.end() && !found->second.live;
}

std::string CallGraph::boot_path(u64 entry) const {
    auto begins = [](const CodeNode& node) { return node.start_code || node.constructor || node.called_at_start; };
    if (begins(nodes_.at(entry))) return nodes_.at(entry).constructor ? "the list of constructors" : "the start code";
    return path_from(entry, begins);
}

std::string CallGraph::path_from(u64 entry, const std::function<bool(const CodeNode&)>& is_begin) const {
    std::map<u64, u64> towards{{entry, entry}};  // the next one on the way to `entry`
    std::deque<u64> open{entry};
    std::vector<std::string> names;
    while (!open.empty() && names.empty()) {
        u64 first = open.front();
        open.pop_front();
        const CodeNode& node = nodes_.at(first);
        if (first != entry && is_begin(node)) {
            for (u64 at = first; at != entry; at = towards.at(at))
                names.push_back(without_parameters(demangled(nodes_.at(at).name())));
        }
        for (u64 caller : node.callers)
            if (towards.emplace(caller, first).second) open.push_back(caller);
    }
    if (names.size() > kShownCallers) names.erase(names.begin() + 1, names.end() - (kShownCallers - 1));
    return fmt::format("{}", fmt::join(names, " → "));
}

}  // namespace graft::differ
