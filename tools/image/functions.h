// The functions of an image with what the linked bytes and the debug information say about them.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tools/image/elf_image.h"

struct ZydisDecodedInstruction_;
struct ZydisDecodedOperand_;

namespace graft::tools {

struct Function {
    u64 entry = 0;
    u64 size = 0;
    std::vector<std::string> names;  // aliases; the first is the canonical one
    bool start_code = false;         // runs below the image's addresses, before long mode
    bool permanent = false;
    bool init_text = false;  // only runs while the image boots, and is gone then
    bool has_site = false;
    bool has_return = false;
    bool assembly = false;
    bool compiled = false;
    bool thunk = false;  // adjusts `this` and jumps to a function that has a site
    bool no_patch = false;
    u64 parent = 0;   // entry of the function that this is a part of, 0 if none
    std::string via;  // why it is on the no-patch list

    const std::string& name() const { return names.front(); }
    bool contains(u64 address) const { return address >= entry && address - entry < size; }
};

struct Instruction {
    u64 address;
    const ZydisDecodedInstruction_& decoded;
    const ZydisDecodedOperand_* operands;  // kMaxOperands of them

    u64 next() const;
    // The target of a direct call or jump; nothing for others.
    std::optional<u64> direct_target() const;
    bool is_call() const;
    bool is_jump() const;  // conditional or not
    bool is_return() const;
    bool is_indirect() const { return !direct_target(); }
};

class FunctionList {
public:
    explicit FunctionList(const ElfImage& image);

    std::map<u64, Function>& all() { return functions_; }
    const std::map<u64, Function>& all() const { return functions_; }
    // The function whose range holds `address`.
    const Function* at(u64 address) const;

    // Calls `visit` for each instruction, in order; false when the bytes can't be decoded to the end.
    static bool for_each_instruction(const ElfImage& image, const Function& function,
                                     const std::function<void(const Instruction&)>& visit);

    // Marks the permanent functions and everything that they reach without passing an upcall. Returns the violations of
    // the list's closedness, one line each.
    std::vector<std::string> compute_no_patch(const ElfImage& image);

private:
    void read_entries(const ElfImage& image);
    void find_parts(const ElfImage& image);
    void read_languages(const ElfImage& image);
    void read_bytes(const ElfImage& image);

    std::map<u64, Function> functions_;
};

std::string demangled(const std::string& name);
std::string hex_text(u64 value);

}  // namespace graft::tools
