#include "apps/demo/till.h"

#include "base/text.h"
#include "kernel/console.h"
#include "kernel/timers.h"

namespace demo {
namespace {

using graft::Text;
using graft::TextBuffer;
using graft::usize;

// Nets whose taxes are no whole cents.
constexpr Item kShelf[] = {
    {"bolts", 349, 3}, {"hinges", 1299, 1}, {"lamps", 2449, 2}, {"brushes", 187, 5},
    {"hooks", 99, 7},  {"saws", 1799, 1},   {"paint", 1213, 3}, {"tape", 271, 2},
};
constexpr usize kLines = 6;

void append_amount(TextBuffer& text, i64 cents) {
    if (cents < 0) text.append('-');
    i64 size = cents < 0 ? -cents : cents;
    text.append(size / 100, size % 100 < 10 ? ".0" : ".", size % 100);
}

// Each invoice takes the next few items of the shelf.
std::array<Item, kLines> next_basket(u64 number) {
    std::array<Item, kLines> basket;
    for (usize i = 0; i < kLines; ++i) basket[i] = kShelf[(number + i) % std::size(kShelf)];
    return basket;
}

void write_invoice(const Till& till, i64 total, i64 lawful) {
    Text<160> text;
    text.append(till.name, till.place, ": invoice ", till.invoices, ", total ");
    append_amount(text, total);
    if (total == lawful) {
        text.append(", right\n");
    } else {
        text.append(", should be ");
        append_amount(text, lawful);
        text.append(": WRONG by ");
        append_amount(text, total - lawful);
        text.append('\n');
    }
    graft::kernel::console_write(text.view());
}

// One invoice; the loop around it never changes, so everything that a till does can be patched.
[[gnu::noinline]] void serve_customer(Till& till) {
    ++till.invoices;
    auto basket = next_basket(till.invoices);
    i64 total = invoice_total(basket, till.pause);
    write_invoice(till, total, lawful_total(basket));
    if (till.rest_ns != 0) graft::kernel::sleep_ns(till.rest_ns);
}

}  // namespace

void run_till(void* argument) {
    auto& till = *static_cast<Till*>(argument);
    for (;;) serve_customer(till);
}

}  // namespace demo
