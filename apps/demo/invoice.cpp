#include "apps/demo/invoice.h"

namespace demo {

// Rounds every line down to whole cents: an invoice of many lines is short by some cents.
[[gnu::noinline]] i64 line_amount(const Item& item) {
    return item.net_cents * item.count * (100 + kTaxPercent) / 100;
}

[[gnu::noinline]] i64 close_invoice(i64 sum) {
    return sum;
}

[[gnu::noinline]] i64 invoice_total(std::span<const Item> items, Pause pause) {
    i64 sum = 0;
    for (const Item& item : items) {
        sum += line_amount(item);
        if (pause) pause();
    }
    return close_invoice(sum);
}

i64 lawful_total(std::span<const Item> items) {
    i64 net = 0;
    for (const Item& item : items) net += item.net_cents * item.count;
    return (net * (100 + kTaxPercent) + 50) / 100;
}

}  // namespace demo
