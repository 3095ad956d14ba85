// Records: memory for the core's own objects, from Machine::allocate(). It can run out everywhere, so whoever allocates
// gets a bool or a null and refuses; nothing here panics. Owners release what they own when they go.
//
// Locking: the registry's lock, as for the machine's methods.
#pragma once

#include <memory>
#include <new>
#include <span>
#include <utility>

#include "base/types.h"
#include "patch/machine.h"

namespace graft::patch {

// A fixed number of default-constructed T.
template <typename T>
class RecordArray {
public:
    RecordArray() = default;
    RecordArray(RecordArray&& other) noexcept { swap(other); }
    RecordArray& operator=(RecordArray&& other) noexcept {
        RecordArray moved(std::move(other));
        swap(moved);
        return *this;
    }
    RecordArray(const RecordArray&) = delete;
    RecordArray& operator=(const RecordArray&) = delete;
    ~RecordArray() { reset(); }

    // False when there is no memory; the array is empty then.
    [[nodiscard]] bool create(Machine& machine, usize count) {
        reset();
        if (count == 0) return true;
        auto bytes = checked_mul<u64>(count, sizeof(T));
        if (!bytes) return false;
        void* memory = machine.allocate(*bytes, alignof(T));
        if (memory == nullptr) return false;
        machine_ = &machine;
        items_ = static_cast<T*>(memory);
        capacity_ = count;
        for (; size_ < count; ++size_) new (items_ + size_) T();
        return true;
    }

    void reset() {
        if (items_ == nullptr) return;
        for (usize i = capacity_; i > 0; --i) items_[i - 1].~T();
        machine_->release(items_, capacity_ * sizeof(T));
        items_ = nullptr;
        size_ = 0;
        capacity_ = 0;
    }

    // Shows only the first `count` items from now on.
    void shrink(usize count) { size_ = count < size_ ? count : size_; }

    usize size() const { return size_; }
    bool empty() const { return size_ == 0; }
    T* data() { return items_; }
    const T* data() const { return items_; }
    T& operator[](usize index) { return items_[index]; }
    const T& operator[](usize index) const { return items_[index]; }
    T* begin() { return items_; }
    T* end() { return items_ + size_; }
    const T* begin() const { return items_; }
    const T* end() const { return items_ + size_; }
    std::span<T> span() { return {items_, size_}; }
    std::span<const T> span() const { return {items_, size_}; }

private:
    void swap(RecordArray& other) {
        std::swap(machine_, other.machine_);
        std::swap(items_, other.items_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

    Machine* machine_ = nullptr;
    T* items_ = nullptr;
    usize size_ = 0;
    usize capacity_ = 0;
};

// One object with one owner.
template <typename T>
class RecordOwner {
public:
    RecordOwner() = default;
    RecordOwner(RecordOwner&& other) noexcept
        : machine_(std::exchange(other.machine_, nullptr)), item_(std::exchange(other.item_, nullptr)) {}
    RecordOwner& operator=(RecordOwner&& other) noexcept {
        if (this == &other) return *this;
        reset();
        machine_ = std::exchange(other.machine_, nullptr);
        item_ = std::exchange(other.item_, nullptr);
        return *this;
    }
    RecordOwner(const RecordOwner&) = delete;
    RecordOwner& operator=(const RecordOwner&) = delete;
    ~RecordOwner() { reset(); }

    // Empty when there is no memory.
    template <typename... Args>
    static RecordOwner create(Machine& machine, Args&&... args) {
        RecordOwner owner;
        void* memory = machine.allocate(sizeof(T), alignof(T));
        if (memory == nullptr) return owner;
        owner.machine_ = &machine;
        owner.item_ = new (memory) T(std::forward<Args>(args)...);
        return owner;
    }
    // Takes over an object that create() made and give_up() handed out.
    static RecordOwner adopt(Machine& machine, T& item) {
        RecordOwner owner;
        owner.machine_ = &machine;
        owner.item_ = &item;
        return owner;
    }
    T& give_up() { return *std::exchange(item_, nullptr); }

    void reset() {
        if (item_ == nullptr) return;
        item_->~T();
        machine_->release(item_, sizeof(T));
        item_ = nullptr;
    }

    explicit operator bool() const { return item_ != nullptr; }
    T& operator*() const { return *item_; }
    T* operator->() const { return item_; }
    T* get() const { return item_; }

private:
    Machine* machine_ = nullptr;
    T* item_ = nullptr;
};

// Holds the registry's lock.
class MachineGuard {
public:
    explicit MachineGuard(Machine& machine) : machine_(machine) { machine_.lock(); }
    MachineGuard(const MachineGuard&) = delete;
    MachineGuard& operator=(const MachineGuard&) = delete;
    ~MachineGuard() { machine_.unlock(); }

private:
    Machine& machine_;
};

}  // namespace graft::patch
