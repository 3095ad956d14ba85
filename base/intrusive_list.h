// IntrusiveList: a doubly linked list whose links are members of the elements; it allocates nothing and owns nothing.
// An element may be in one list per hook. Linking an element twice, or destroying one that is linked, is a programming
// error and is asserted. Not synchronised: whoever owns the list names its lock.
#pragma once

#include "base/assert.h"
#include "base/types.h"

namespace graft {

class ListHook {
public:
    constexpr ListHook() = default;
    ListHook(const ListHook&) = delete;
    ListHook& operator=(const ListHook&) = delete;
    ~ListHook() { GRAFT_ASSERT(!is_linked()); }

    bool is_linked() const { return next_ != nullptr; }

private:
    template <typename T, ListHook T::*>
    friend class IntrusiveList;

    void insert_before(ListHook& successor) {
        GRAFT_ASSERT(!is_linked());
        next_ = &successor;
        previous_ = successor.previous_;
        previous_->next_ = this;
        successor.previous_ = this;
    }

    void unlink() {
        GRAFT_ASSERT(is_linked());
        previous_->next_ = next_;
        next_->previous_ = previous_;
        next_ = nullptr;
        previous_ = nullptr;
    }

    ListHook* next_ = nullptr;
    ListHook* previous_ = nullptr;
};

template <typename T, ListHook T::* Hook>
class IntrusiveList {
public:
    constexpr IntrusiveList() {
        sentinel_.next_ = &sentinel_;
        sentinel_.previous_ = &sentinel_;
    }
    IntrusiveList(const IntrusiveList&) = delete;
    IntrusiveList& operator=(const IntrusiveList&) = delete;
    ~IntrusiveList() {
        GRAFT_ASSERT(empty());
        sentinel_.next_ = nullptr;
        sentinel_.previous_ = nullptr;
    }

    bool empty() const { return sentinel_.next_ == &sentinel_; }
    void push_back(T& element) { (element.*Hook).insert_before(sentinel_); }
    void push_front(T& element) { (element.*Hook).insert_before(*sentinel_.next_); }
    void insert_before(T& successor, T& element) { (element.*Hook).insert_before(successor.*Hook); }
    void remove(T& element) { (element.*Hook).unlink(); }

    T* front() { return empty() ? nullptr : owner(sentinel_.next_); }
    T* next(T& element) {
        ListHook* hook = (element.*Hook).next_;
        return hook == &sentinel_ ? nullptr : owner(hook);
    }
    T* pop_front() {
        T* first = front();
        if (first) remove(*first);
        return first;
    }

    class Iterator {
    public:
        explicit Iterator(ListHook* hook) : hook_(hook) {}
        T& operator*() const { return *owner(hook_); }
        Iterator& operator++() {
            hook_ = hook_->next_;
            return *this;
        }
        bool operator==(const Iterator&) const = default;

    private:
        ListHook* hook_;
    };
    Iterator begin() { return Iterator(sentinel_.next_); }
    Iterator end() { return Iterator(&sentinel_); }

private:
    static T* owner(ListHook* hook) {
        // The hook's offset, taken from a fictitious object: T need not be standard layout, but has no virtual base.
        alignas(T) static constexpr unsigned char storage[sizeof(T)]{};
        auto* fictitious = reinterpret_cast<const T*>(storage);
        auto offset = reinterpret_cast<const char*>(&(fictitious->*Hook)) - reinterpret_cast<const char*>(fictitious);
        return reinterpret_cast<T*>(reinterpret_cast<char*>(hook) - offset);
    }

    ListHook sentinel_;
};

}  // namespace graft
