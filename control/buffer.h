// Memory that grows for a client: ByteBuffer for what it sends, GrowingText for what it is shown. Both draw on the
// client's Quota, so that no client can take the system's memory away, and both may fail to grow, which is an answer
// and no accident. Not synchronised; task context.
#pragma once

#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "base/types.h"

namespace graft::control {

// How much a client may hold at once.
class Quota {
public:
    explicit Quota(usize limit) : limit_(limit) {}
    Quota(const Quota&) = delete;
    Quota& operator=(const Quota&) = delete;

    bool take(usize bytes) {
        if (bytes > limit_ - used_) return false;
        used_ += bytes;
        return true;
    }
    void give_back(usize bytes) { used_ -= bytes; }
    usize used() const { return used_; }

private:
    usize limit_;
    usize used_ = 0;
};

// For new-expressions that give null when there is no memory.
inline constexpr std::nothrow_t kOrNull{};

class ByteBuffer {
public:
    explicit ByteBuffer(Quota& quota) : quota_(&quota) {}
    ByteBuffer(ByteBuffer&& other) noexcept
        : quota_(other.quota_),
          bytes_(std::move(other.bytes_)),
          size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    ByteBuffer& operator=(ByteBuffer&& other) noexcept {
        if (this == &other) return *this;
        release();
        quota_ = other.quota_;
        bytes_ = std::move(other.bytes_);
        size_ = std::exchange(other.size_, 0);
        capacity_ = std::exchange(other.capacity_, 0);
        return *this;
    }
    ~ByteBuffer() { release(); }

    std::span<const std::byte> view() const { return {bytes_.get(), size_}; }
    usize size() const { return size_; }
    bool empty() const { return size_ == 0; }

    // False when there is no memory or the quota is used up; then nothing has changed.
    bool append(std::span<const std::byte> bytes) {
        if (bytes.size() > capacity_ - size_ && !grow(bytes.size())) return false;
        if (!bytes.empty()) std::memcpy(bytes_.get() + size_, bytes.data(), bytes.size());
        size_ += bytes.size();
        return true;
    }
    bool append(std::string_view text) { return append(std::as_bytes(std::span(text.data(), text.size()))); }

    // Overwrites what is there and appends what lies beyond. `offset` is at most size().
    bool write_at(usize offset, std::span<const std::byte> bytes) {
        usize inside = bytes.size() < size_ - offset ? bytes.size() : size_ - offset;
        if (!append(bytes.subspan(inside))) return false;
        if (inside != 0) std::memcpy(bytes_.get() + offset, bytes.data(), inside);
        return true;
    }

    void release() {
        quota_->give_back(capacity_);
        bytes_.reset();
        size_ = 0;
        capacity_ = 0;
    }

private:
    static constexpr usize kFirstCapacity = 256;

    bool grow(usize more) {
        if (more > ~usize{0} / 4 - size_) return false;
        usize capacity = capacity_ == 0 ? kFirstCapacity : capacity_ * 2;
        if (capacity < size_ + more) capacity = size_ + more;
        // Doubling may exceed what is left of the quota while the bytes themselves would still fit.
        if (!quota_->take(capacity - capacity_)) {
            capacity = size_ + more;
            if (!quota_->take(capacity - capacity_)) return false;
        }
        std::unique_ptr<std::byte[]> bytes(new (kOrNull) std::byte[capacity]);
        if (!bytes) {
            quota_->give_back(capacity - capacity_);
            return false;
        }
        if (size_ != 0) std::memcpy(bytes.get(), bytes_.get(), size_);
        bytes_ = std::move(bytes);
        capacity_ = capacity;
        return true;
    }

    Quota* quota_;
    std::unique_ptr<std::byte[]> bytes_;
    usize size_ = 0;
    usize capacity_ = 0;
};

// Appends like TextBuffer, into a ByteBuffer. After a failure it takes nothing more and failed() says so.
class GrowingText {
public:
    explicit GrowingText(ByteBuffer& buffer) : buffer_(buffer) {}

    bool failed() const { return failed_; }

    GrowingText& append(std::string_view text) {
        if (!failed_ && !buffer_.append(text)) failed_ = true;
        return *this;
    }
    GrowingText& append(const char* text) { return append(std::string_view(text)); }
    GrowingText& append(char character) { return append(std::string_view(&character, 1)); }
    template <typename T>
        requires(std::integral<T> || std::same_as<T, Hex>) && (!std::same_as<T, char> && !std::same_as<T, bool>)
    GrowingText& append(T number) {
        Text<32> text;
        text.append(number);
        return append(text.view());
    }
    template <typename First, typename... Rest>
        requires(sizeof...(Rest) > 0)
    GrowingText& append(const First& first, const Rest&... rest) {
        append(first);
        return append(rest...);
    }

private:
    ByteBuffer& buffer_;
    bool failed_ = false;
};

}  // namespace graft::control
