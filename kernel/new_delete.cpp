// operator new and delete over the kernel's heap. The plain forms panic when there is no memory; whoever can do without
// uses the nothrow forms.
#include <new>

#include "kernel/memory.h"
#include "kernel/panic.h"

namespace {

void* allocate_or_panic(std::size_t size, std::size_t alignment) {
    void* memory = graft::kernel::heap_allocate(size, alignment);
    if (!memory) graft::kernel::panic("out of memory in operator new");
    return memory;
}

constexpr std::size_t kDefault = 16;

std::size_t number(std::align_val_t alignment) {
    auto value = static_cast<std::size_t>(alignment);
    return value < kDefault ? kDefault : value;
}

}  // namespace

const std::nothrow_t std::nothrow{};

void* operator new(std::size_t size) {
    return allocate_or_panic(size, kDefault);
}
void* operator new[](std::size_t size) {
    return allocate_or_panic(size, kDefault);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate_or_panic(size, number(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return allocate_or_panic(size, number(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return graft::kernel::heap_allocate(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return graft::kernel::heap_allocate(size);
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return graft::kernel::heap_allocate(size, number(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return graft::kernel::heap_allocate(size, number(alignment));
}

void operator delete(void* memory) noexcept {
    graft::kernel::heap_release(memory);
}
void operator delete[](void* memory) noexcept {
    graft::kernel::heap_release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    graft::kernel::heap_release(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    graft::kernel::heap_release(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    graft::kernel::heap_release(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
    graft::kernel::heap_release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    graft::kernel::heap_release(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
    graft::kernel::heap_release(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
    graft::kernel::heap_release(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
    graft::kernel::heap_release(memory);
}
