// Who calls whom in a linked image, read from its instructions, and what of it can only run while the image boots.
//
// A call is a direct call or jump from one function to another. What a pointer can reach has its address taken: a word
// of data or an operand of an instruction is its entry.
//
// A function is *boot-only* when nothing that may run later can reach it. What may run later ("live"):
//   - a function whose address is taken anywhere but in the start code and the list of constructors;
//   - a function that nobody calls, unless it belongs to the start code, and code that no function symbol covers;
//   - what a function that never returns calls within a loop: the main loops of processors and tasks;
//   - and whatever a live function calls.
// The rest is reached only from the start code, its straight way into the scheduler, and constructors: it has run,
// once. The notion errs on one side: a function that is called boot-only never runs again; one that isn't may not
// either.
//
// Host; no locking. Constant after read().
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tools/patch/object.h"

namespace graft::differ {

struct CodeCall {
    u64 at = 0;            // address of the instruction
    u64 target = 0;        // the called function's entry
    bool repeats = false;  // in a function without a return: may run again
};

struct CodeNode {
    u64 entry = 0;
    u64 size = 0;
    std::vector<std::string> names;  // linkage names, ascending; never empty
    std::vector<CodeCall> calls;
    std::vector<u64> callers;  // entries, ascending
    bool decoded = true;       // false: its bytes aren't instructions to the end, its calls aren't known
    bool has_return = false;   // holds a return or a jump to another function
    bool address_taken = false;
    bool weak = false;             // an inline function: the copy that the linker kept
    bool start_code = false;       // of the sections .boot*
    bool init_text = false;        // of the section .init.text, which is gone after the boot
    bool constructor = false;      // in the list of constructors
    bool called_at_start = false;  // its address is in the start code
    bool live = false;             // may run after the boot

    const std::string& name() const { return names.front(); }
    bool contains(u64 address) const { return address - entry < size; }
};

class CallGraph {
public:
    // `image`: the content of a linked ELF image with its symbol table; `path` for messages.
    static tools::PackResult<CallGraph> read(std::span<const std::byte> image, const std::string& path);

    const std::map<u64, CodeNode>& nodes() const { return nodes_; }
    // The function that holds `address`.
    const CodeNode* at(u64 address) const;
    bool is_boot_only(u64 entry) const;
    // Why it is: its callers from where the boot begins, "graft_boot → graft::kernel::start_memory".
    std::string boot_path(u64 entry) const;
    // The nearest callers' names from a function that `is_begin` accepts to that one; empty when there is no way.
    std::string path_from(u64 entry, const std::function<bool(const CodeNode&)>& is_begin) const;

private:
    friend class CallGraphReader;
    std::map<u64, CodeNode> nodes_;
};

}  // namespace graft::differ
