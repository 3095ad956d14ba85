// The memory functions that the compiler calls by itself, and strlen.
//
// Each is written with string instructions or byte loops that GCC must not turn back into calls of the very function.
#include <cstddef>
#include <cstdint>

#pragma GCC optimize("no-tree-loop-distribute-patterns")

extern "C" {

void* memcpy(void* destination, const void* source, std::size_t count) {
    void* to = destination;
    std::size_t words = count / 8;
    std::size_t rest = count % 8;
    asm volatile("rep movsq" : "+D"(to), "+S"(source), "+c"(words)::"memory");
    asm volatile("rep movsb" : "+D"(to), "+S"(source), "+c"(rest)::"memory");
    return destination;
}

void* memmove(void* destination, const void* source, std::size_t count) {
    auto to = reinterpret_cast<std::uintptr_t>(destination);
    auto from = reinterpret_cast<std::uintptr_t>(source);
    if (to - from >= count) return memcpy(destination, source, count);
    auto* last_to = static_cast<unsigned char*>(destination) + count;
    auto* last_from = static_cast<const unsigned char*>(source) + count;
    // Backwards, without the direction flag: nobody else expects it set [psABI §3.2.1].
    for (; count % 8 != 0; --count) *--last_to = *--last_from;
    for (; count != 0; count -= 8) {
        last_to -= 8;
        last_from -= 8;
        std::uint64_t word;
        __builtin_memcpy(&word, last_from, 8);
        __builtin_memcpy(last_to, &word, 8);
    }
    return destination;
}

void* memset(void* destination, int value, std::size_t count) {
    void* to = destination;
    std::uint64_t pattern = static_cast<unsigned char>(value) * 0x0101010101010101u;
    std::size_t words = count / 8;
    std::size_t rest = count % 8;
    asm volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
    asm volatile("rep stosb" : "+D"(to), "+c"(rest) : "a"(pattern) : "memory");
    return destination;
}

int memcmp(const void* left, const void* right, std::size_t count) {
    auto* a = static_cast<const unsigned char*>(left);
    auto* b = static_cast<const unsigned char*>(right);
    for (std::size_t i = 0; i < count; ++i) {
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    }
    return 0;
}

void* memchr(const void* memory, int value, std::size_t count) {
    auto* bytes = static_cast<const unsigned char*>(memory);
    for (std::size_t i = 0; i < count; ++i) {
        if (bytes[i] == static_cast<unsigned char>(value)) return const_cast<unsigned char*>(bytes + i);
    }
    return nullptr;
}

std::size_t strlen(const char* text) {
    std::size_t length = 0;
    while (text[length] != '\0') ++length;
    return length;
}

}  // extern "C"
