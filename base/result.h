// Result<T, E>: a value or the reason why there is none. Each subsystem has an error type of its own; a dropped result
// is a compile error.
//
//   GRAFT_TRY(expr)   the value of expr, or returns its error from the enclosing function
//
// GRAFT_TRY is a statement expression: don't use it in an initialiser list, whose other members would not be destroyed.
#pragma once

#include <expected>
#include <utility>

namespace graft {

template <typename T, typename E>
class [[nodiscard]] Result : public std::expected<T, E> {
public:
    using std::expected<T, E>::expected;
    using Base = std::expected<T, E>;
};

template <typename E>
constexpr std::unexpected<std::decay_t<E>> fail(E&& error) {
    return std::unexpected<std::decay_t<E>>(std::forward<E>(error));
}

}  // namespace graft

#define GRAFT_TRY(expression)                                                               \
    __extension__({                                                                         \
        auto graft_try_result = (expression);                                               \
        if (!graft_try_result) return std::unexpected(std::move(graft_try_result.error())); \
        std::move(*graft_try_result);                                                       \
    })

// For Result<void, E>.
#define GRAFT_CHECK(expression)                                                                 \
    do {                                                                                        \
        auto graft_check_result = (expression);                                                 \
        if (!graft_check_result) return std::unexpected(std::move(graft_check_result.error())); \
    } while (false)
