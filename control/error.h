// ControlError: why a request to the control tree was refused, as the client gets it: a text, lower case, naming thing
// and reason, and for 9P2000.u one of Linux's error numbers beside it. A value that owns its text. Any context.
#pragma once

#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/text.h"
#include "base/types.h"

namespace graft::control {

// A text of limited length that is copied as a value; what doesn't fit is cut.
template <usize Capacity>
class FixedText {
public:
    FixedText() = default;
    FixedText(std::string_view text) { assign(text); }

    void assign(std::string_view text) {
        size_ = static_cast<u16>(text.size() < Capacity ? text.size() : Capacity);
        if (size_ != 0) std::memcpy(bytes_, text.data(), size_);
    }
    template <typename... Parts>
    void compose(const Parts&... parts) {
        TextBuffer buffer(bytes_);
        buffer.append(std::string_view(), parts...);
        size_ = static_cast<u16>(buffer.size());
    }

    std::string_view view() const { return {bytes_, size_}; }
    bool empty() const { return size_ == 0; }

private:
    static_assert(Capacity <= 0xffff);
    char bytes_[Capacity]{};
    u16 size_ = 0;
};

// Linux's numbers; a client that mounts the tree turns them into errno.
enum class ErrorNumber : u32 {
    not_permitted = 1,
    not_found = 2,
    bad_fid = 9,
    no_memory = 12,
    no_access = 13,
    busy = 16,
    exists = 17,
    not_a_directory = 20,
    is_a_directory = 21,
    invalid = 22,
    too_large = 27,
    no_room = 28,
    protocol = 71,
    in_progress = 115,  // no refusal: see later()
    gone = 116,
};

struct ControlError {
    ErrorNumber number = ErrorNumber::invalid;
    FixedText<240> text;
    u64 ticket = 0;  // in_progress
};

template <typename T>
using ControlResult = Result<T, ControlError>;

template <typename... Parts>
std::unexpected<ControlError> refuse(ErrorNumber number, const Parts&... parts) {
    ControlError error;
    error.number = number;
    error.text.compose(parts...);
    return std::unexpected(error);
}

// Neither done nor refused: the request goes on, and the system's outcome() of this ticket answers it when it is
// decided. Whoever passes errors on passes this on as well, up to the server, which keeps the request until then.
inline std::unexpected<ControlError> later(u64 ticket) {
    ControlError error;
    error.number = ErrorNumber::in_progress;
    error.text.assign("in progress");
    error.ticket = ticket;
    return std::unexpected(error);
}

template <typename T>
bool is_later(const ControlResult<T>& result) {
    return !result && result.error().number == ErrorNumber::in_progress;
}

inline std::unexpected<ControlError> refuse_memory() {
    return refuse(ErrorNumber::no_memory, "out of memory");
}

}  // namespace graft::control
