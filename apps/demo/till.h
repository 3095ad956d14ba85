// A till: a task that writes one invoice after the other to the console, and says whether its total is right.
#pragma once

#include <array>
#include <string_view>

#include "apps/demo/invoice.h"
#include "base/types.h"

namespace demo {

struct Till {
    std::string_view name;
    std::string_view place;   // shown behind the name; may be empty
    graft::u64 rest_ns = 0;   // between two invoices
    Pause pause = nullptr;    // between two lines of an invoice
    graft::u64 invoices = 0;  // written so far
};

// The body of a till's task; `argument` is its Till. Never returns.
void run_till(void* argument);

}  // namespace demo
