#include "patch/func_stack.h"

namespace graft::patch {

VirtAddr FuncStack::target() {
    const Func* newest = top();
    return newest != nullptr && newest->new_function ? newest->new_function : original();
}

FuncStack* FuncStackTable::find(VirtAddr entry) {
    for (FuncStack& stack : bucket(entry)) {
        if (stack.entry() == entry) return &stack;
    }
    return nullptr;
}

bool FuncStackTable::push(Machine& machine, Func& func) {
    FuncStack* stack = find(func.old.entry);
    if (stack == nullptr) {
        auto owner = RecordOwner<FuncStack>::create(machine, func.old.entry);
        if (!owner) return false;
        stack = &owner.give_up();
        bucket(func.old.entry).push_back(*stack);
        ++size_;
    }
    stack->funcs().push_front(func);
    func.stack = stack;
    return true;
}

void FuncStackTable::remove(Machine& machine, Func& func) {
    FuncStack& stack = *func.stack;
    stack.funcs().remove(func);
    func.stack = nullptr;
    if (!stack.funcs().empty()) return;
    bucket(stack.entry()).remove(stack);
    --size_;
    RecordOwner<FuncStack>::adopt(machine, stack).reset();
}

}  // namespace graft::patch
