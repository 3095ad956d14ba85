// Shadow variables: data that a patch attaches to an object at run time, by (object, state id), without changing the
// object's layout. For patch sources; works in the image's own code as well.
//
//   struct Budget {
//       explicit Budget(u32 left) : left(left) {}
//       u32 left;
//   };
//   using BudgetOf = graft::patch::ShadowVariable<Budget, kLimits>;   // kLimits: the id of a state of this patch
//
//   GRAFT_STATE("limits", .id = kLimits, .destroy = BudgetOf::destroy);
//
//   Budget* budget = BudgetOf::get_or_alloc(connection, 100u);
//   if (budget != nullptr && budget->left > 0) --budget->left;
//
// * An object is whatever an address names; the store never looks into it.
// * A variable is constructed once and destroyed once, and nobody finds it before its constructor has returned. The
//   constructor runs in the caller's context, no lock held: in a task it may sleep and may make other variables.
// * Who frees an object frees its variables first. Where the code that frees it knows nothing of them, variables of
//   objects that the kernel's heap gave out at exactly that address become *stale* the moment the object is freed: they
//   are not found any more, and are destroyed at the next alloc or get_or_alloc of their state in a task, or when the
//   state goes. Objects of other origin (pools, static objects, members) have no such watch: their end must be patched.
// * What is left when the state goes is destroyed by the state's `.destroy`, freed and counted in the log. Without
//   `.destroy` it is freed as it is.
// * The store doesn't keep what get() returned alive: who may free a variable while others use it has to agree with
//   them, as with any other data.
//
// All calls take constant time, but for free_all(). Context: get() and free() any; free() runs the destructor there.
// alloc() and get_or_alloc() any, as far as the constructor allows; in an interrupt they give up where a task would
// wait for a constructor that is under way. free_all() in a task.
#pragma once

#include <new>
#include <type_traits>
#include <utility>

#include "base/types.h"

// Of the image; kernel/shadow.h.
extern "C" {
void* graft_shadow_get(const void* object, graft::u64 id);
// The data's place; `*is_new`: to be constructed and published. Null: none, see ShadowStore::begin().
void* graft_shadow_begin(const void* object, graft::u64 id, graft::usize size, graft::usize alignment, bool share,
                         bool* is_new);
void graft_shadow_publish(void* data);
void* graft_shadow_take(const void* object, graft::u64 id);
void* graft_shadow_take_any(graft::u64 id);
void* graft_shadow_take_stale(graft::u64 id);
void graft_shadow_release(void* data);
}

namespace graft::patch {

template <typename T, u64 Id>
class ShadowVariable {
public:
    static_assert(std::is_object_v<T> && !std::is_const_v<T> && alignof(T) <= 4096);
    static_assert(Id != 0, "a state's id isn't 0");

    // Null when there is none.
    [[nodiscard]] static T* get(const void* object) { return static_cast<T*>(graft_shadow_get(object, Id)); }

    // Null when there is one already, or no memory.
    template <typename... Args>
    [[nodiscard]] static T* alloc(const void* object, Args&&... args) {
        return make(object, false, std::forward<Args>(args)...);
    }
    // The one that is there, or a new one. Null: no memory, or see above.
    template <typename... Args>
    [[nodiscard]] static T* get_or_alloc(const void* object, Args&&... args) {
        return make(object, true, std::forward<Args>(args)...);
    }
    // False when there is none.
    static bool free(const void* object) { return end(graft_shadow_take(object, Id)); }
    // Returns how many there were.
    static usize free_all() {
        usize count = 0;
        while (end(graft_shadow_take_any(Id))) ++count;
        return count;
    }
    // For the state's declaration.
    static void destroy(void* data) { static_cast<T*>(data)->~T(); }

private:
    template <typename... Args>
    static T* make(const void* object, bool share, Args&&... args) {
        // Twice as many as can come, so that they don't pile up.
        for (int i = 0; i < 2 && end(graft_shadow_take_stale(Id)); ++i) {
        }
        bool is_new = false;
        void* data = graft_shadow_begin(object, Id, sizeof(T), alignof(T), share, &is_new);
        if (!is_new) return static_cast<T*>(data);
        T* made = new (data) T(std::forward<Args>(args)...);
        graft_shadow_publish(data);
        return made;
    }
    static bool end(void* data) {
        if (data == nullptr) return false;
        destroy(data);
        graft_shadow_release(data);
        return true;
    }
};

}  // namespace graft::patch
