// Invoices: what the demonstration sells. All amounts are whole cents, taxes included unless said otherwise.
#pragma once

#include <span>
#include <string_view>

#include "base/types.h"

namespace demo {

using graft::i64;
using graft::u64;

inline constexpr i64 kTaxPercent = 19;

struct Item {
    std::string_view name;
    i64 net_cents;  // of one piece, without tax
    i64 count;
};

// Called between the lines of an invoice by tills that take their time; null for the others.
using Pause = void (*)();

// What one line adds to an invoice, in whatever unit close_invoice() understands.
i64 line_amount(const Item& item);
// The sum of all lines as an amount in cents.
i64 close_invoice(i64 sum);
// The invoice's total. Its lines and its closing belong together: within one call both are of one kind.
i64 invoice_total(std::span<const Item> items, Pause pause);

// The total as the law wants it: the tax on the sum of all nets, rounded once.
i64 lawful_total(std::span<const Item> items);

}  // namespace demo
