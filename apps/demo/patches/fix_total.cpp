// Keeps full precision in the lines and rounds once, at the end: the unit that line_amount() gives and close_invoice()
// takes becomes a hundredth of a cent. A mix of old and new would be wrong by a factor of a hundred, so their caller is
// held.
#include "apps/demo/invoice.h"
#include "patch/author.h"

GRAFT_PATCH("fix-total");
GRAFT_PATCH_VERSION("1");
GRAFT_PATCH_DESCRIPTION("rounds an invoice once instead of in every line");

namespace demo {
namespace {

i64 exact_line_amount(const Item& item) {
    return item.net_cents * item.count * (100 + kTaxPercent);
}

i64 close_and_round(i64 sum) {
    return (sum + 50) / 100;
}

}  // namespace

GRAFT_REPLACE(line_amount, exact_line_amount);
GRAFT_REPLACE(close_invoice, close_and_round);
GRAFT_HOLD(invoice_total);

}  // namespace demo
