// ShadowStore: data attached to objects by (object, state id), behind patch/shadow.h. One a system.
//
// A variable's life:
//
//   begin() → building → publish() → built → take() | take_all() | note_freed() → (gone or stale)
//
//   building  has its place, and nobody sees it but its builder: get() says null, begin() of another task waits for it.
//             So data are constructed once, with no lock held, and are never seen half-made.
//   built     found by get()
//   stale     its object was freed behind its back: not found any more, kept until take_stale() or take_all()
//
// Data: a hash table from object and id to variables that grows by one bucket at a time (linear hashing), so that no
// call takes long with interrupts off; and for each id the list of its variables.
//
// Invariants
//   S1  At most one variable of a pair is building or built.
//   S2  A variable is in the table exactly while it is building or built, and on its id's list from begin() to its end.
//   S3  Each variable leaves the list once, by one caller, who ends its data.
//   S4  Without variables the store holds no memory.
//
// Variables lie in memory that is searched for words into patches: data may point anywhere. Which code ends the data is
// the caller's to know; the store keeps no address of code, which would outlive its patch.
//
// Locking: its own, by the system. Context: as the system's lock; begin() waits only in a task.
#pragma once

#include <array>
#include <atomic>

#include "base/intrusive_list.h"
#include "base/types.h"

namespace graft::patch {

// What the store needs of the system below it.
class ShadowSystem {
public:
    // A lock that nobody sleeps with, interrupts off; `unlock` gets what `lock` returned.
    virtual u64 lock() = 0;
    virtual void unlock(u64 saved) = 0;
    // Searched memory; null when there is none. Context: any, the store's lock not held.
    [[nodiscard]] virtual void* allocate(usize size, usize alignment) = 0;
    virtual void release(void* memory) = 0;
    // 0 in an interrupt.
    [[nodiscard]] virtual u64 current_task() = 0;
    // Lets others run for a moment. Context: task.
    virtual void pause() = 0;
    [[nodiscard]] virtual u64 now_ns() = 0;

protected:
    ~ShadowSystem() = default;
};

class ShadowStore {
public:
    // begin() gives up on a variable whose builder doesn't get on, for it may never.
    static constexpr u64 kLongestWaitNs = 5'000'000'000;

    explicit constexpr ShadowStore(ShadowSystem& system) : system_(system) {}
    ShadowStore(const ShadowStore&) = delete;
    ShadowStore& operator=(const ShadowStore&) = delete;
    ~ShadowStore();

    // The built data, or null.
    [[nodiscard]] void* get(const void* object, u64 id);

    enum class IfThere : u8 { refuse, share };
    struct Begun {
        void* data = nullptr;
        bool is_new = false;  // the caller constructs and publishes it
    };
    // A place for new data; with `share` the data that are there. Null: there is no memory; there is one already and
    // `refuse` was said; or one is being built by the caller itself, by a task that this interrupt interrupted, or for
    // too long.
    [[nodiscard]] Begun begin(const void* object, u64 id, usize size, usize alignment, IfThere if_there);
    // `data` from begin(): constructed now.
    void publish(void* data);

    // The data are nobody else's from here on: the caller ends and releases them. Null: there are none that are built.
    [[nodiscard]] void* take(const void* object, u64 id);
    // One after the other, in no order; null when there are no more built or stale ones.
    [[nodiscard]] void* take_any(u64 id);
    [[nodiscard]] void* take_stale(u64 id);
    // Only when no code can be building one: what was begun and left so is released too. Calls destroy(data), if there
    // is one, for all others; returns how many variables there were.
    usize end_all(u64 id, void (*destroy)(void* data));
    void release(void* data);

    // All of this id, stale ones included.
    [[nodiscard]] usize count(u64 id);
    // The object's memory is free: what is attached to it becomes stale. O(1), and nothing at all without variables.
    void note_freed(const void* object) {
        if (total_.load(std::memory_order_relaxed) != 0) make_stale(object);  // a hint: who frees has stopped attaching
    }

private:
    struct Kind;
    struct Variable;
    class Guard;
    struct Attempt {
        const void* object;
        u64 id;
        usize alignment;
        IfThere if_there;
        u64 task;
        void* memory = nullptr;  // for the variable, once allocated
        void* kind_memory = nullptr;
    };
    enum class Next : u8 { end, wait, allocate, allocate_kind };

    // Segment 0 has kFirstBuckets buckets, each further one as many as all before it.
    static constexpr usize kFirstBuckets = 64;
    static constexpr usize kMaxSegments = 20;
    static constexpr usize kKindBuckets = 64;

    Next try_begin(Attempt& attempt, Begun& result);
    Kind& add_kind(void* memory, u64 id);
    void make_stale(const void* object);
    Variable*& bucket(usize index);
    usize bucket_index(const void* object) const;
    Variable* find(const void* object, u64 id);
    Kind* find_kind(u64 id);
    void link(Variable& variable);
    void unlink_from_table(Variable& variable);
    void unlink(Variable& variable);
    void split_one();
    void prepare_growth();
    void bring_forward(Variable& variable);
    void forget_empty();

    ShadowSystem& system_;
    std::atomic<usize> total_{0};  // written under the lock
    // lock
    std::array<Variable*, kFirstBuckets> first_{};
    std::array<Variable**, kMaxSegments> segments_{};  // 1 …: of the searched heap
    usize buckets_ = kFirstBuckets;                    // in use
    std::array<Kind*, kKindBuckets> kinds_{};
    bool has_idle_ = false;  // a kind without variables, perhaps
};

}  // namespace graft::patch
