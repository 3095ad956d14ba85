// The no-patch list: permanent code and all that it reaches by direct calls and jumps. Upcalls are where it ends.

#include <deque>

#include "tools/image/functions.h"

namespace graft::tools {

namespace {

constexpr std::string_view kUpcallPrefix = "graft_upcall_";
// Ends with a jump to the version that a call has been chosen to go to, as a trampoline does (arch/x86_64/measuring.h).
constexpr std::string_view kDispatcher = "graft_measure_entry";

bool is_upcall(const Function& function) {
    for (const std::string& name : function.names)
        if (name.starts_with(kUpcallPrefix)) return true;
    return false;
}

std::string place_in(const Function& function, u64 address) {
    return demangled(function.name()) + "+" + hex_text(address - function.entry);
}

}  // namespace

std::vector<std::string> FunctionList::compute_no_patch(const ElfImage& image) {
    std::vector<std::string> violations;
    std::deque<Function*> open;
    for (auto& [entry, function] : functions_) {
        if (!function.permanent) continue;
        function.no_patch = true;
        function.via = "permanent code";
        open.push_back(&function);
    }
    auto follow = [&](Function& from, const Instruction& instruction) {
        if (!instruction.is_call() && !instruction.is_jump()) return;
        auto target_address = instruction.direct_target();
        if (!target_address) {
            // The compiler's own indirect jumps are switch tables, which stay inside the function.
            bool dispatches = instruction.is_jump() && from.name() == kDispatcher;
            if (instruction.is_call() || (from.assembly && !dispatches))
                violations.push_back(place_in(from, instruction.address) + ": indirect call or jump in no-patch code");
            return;
        }
        if (from.contains(*target_address)) return;
        const Function* found = at(*target_address);
        if (found == nullptr) {
            violations.push_back(place_in(from, instruction.address) + ": leaves to code without a name");
            return;
        }
        if (is_upcall(*found)) return;
        Function& target = functions_[found->entry];
        if (target.has_site) {
            violations.push_back(place_in(from, instruction.address) + ": calls " + demangled(target.name()) +
                                 ", which can be patched (" + from.via + ")");
            return;
        }
        if (target.no_patch) return;
        target.no_patch = true;
        target.via = "via " + demangled(from.name());
        open.push_back(&target);
    };
    while (!open.empty()) {
        Function& function = *open.front();
        open.pop_front();
        bool decoded = for_each_instruction(image, function, [&](const Instruction& i) { follow(function, i); });
        if (!decoded) violations.push_back(demangled(function.name()) + ": bytes can't be decoded to the end");
    }
    return violations;
}

}  // namespace graft::tools
