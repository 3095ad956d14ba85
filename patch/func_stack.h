// FuncStack: for one old function, the funcs that replace it, newest on top; below the last one lies the original.
// FuncStackTable finds the stack of a function by its entry: the address is a function's identity.
//
// A stack is two deep while a patch and its predecessor of the same set are both there (in the transition between them,
// and in probation), else one deep. A function that the successor doesn't replace has a no-op func of the successor on
// top of the predecessor's then, which stands for the original.
//
// Invariants: a stack is in the table exactly as long as it isn't empty; a func is on one stack at most.
// Locking: the registry's lock. The hot path never comes here: call sites and trampolines hold the answer.
#pragma once

#include <array>

#include "base/intrusive_list.h"
#include "base/types.h"
#include "patch/machine.h"
#include "patch/memory.h"

namespace graft::patch {

struct Patch;
class FuncStack;

// One replaced function of a patch.
struct Func {
    Patch* patch = nullptr;
    FunctionInfo old;
    VirtAddr new_function;  // null in a no-op
    u64 new_size = 0;
    FuncStack* stack = nullptr;  // null while it is on none
    ListHook hook;
};

// An unchanged function that counts as changing during the patch's transitions.
struct Hold {
    FunctionInfo function;
};

class FuncStack {
public:
    using List = IntrusiveList<Func, &Func::hook>;

    explicit FuncStack(VirtAddr entry) : entry_(entry) {}

    VirtAddr entry() const { return entry_; }
    VirtAddr original() const { return entry_ + kCallSiteSize; }
    Func* top() { return funcs_.front(); }
    // Where a call goes when no transition runs: the newest func's version, or the original.
    VirtAddr target();
    List& funcs() { return funcs_; }

    ListHook hook;

private:
    VirtAddr entry_;
    List funcs_;
};

class FuncStackTable {
public:
    FuncStackTable() = default;
    FuncStackTable(const FuncStackTable&) = delete;
    FuncStackTable& operator=(const FuncStackTable&) = delete;

    FuncStack* find(VirtAddr entry);
    // Puts the func on top of its function's stack. False when there is no memory for a new stack.
    [[nodiscard]] bool push(Machine& machine, Func& func);
    // Takes it off, wherever it lies; the stack goes with its last func.
    void remove(Machine& machine, Func& func);
    usize size() const { return size_; }

private:
    using Bucket = IntrusiveList<FuncStack, &FuncStack::hook>;
    static constexpr usize kBuckets = 256;

    Bucket& bucket(VirtAddr entry) { return buckets_[(entry.value / 16) % kBuckets]; }  // entries are 16-aligned

    std::array<Bucket, kBuckets> buckets_;
    usize size_ = 0;
};

}  // namespace graft::patch
