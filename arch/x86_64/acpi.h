// What ACPI told about this machine, read once at boot (the parser is pure/acpi_tables.h).
#pragma once

#include "arch/x86_64/pure/acpi_tables.h"
#include "base/result.h"
#include "base/types.h"

namespace graft::arch {

// Reads the tables by the early page tables, which map the first 4 GiB. `rsdp` 0: searched for in the BIOS areas.
// On failure the description of a plain one-processor PC stays in place, and the error says why.
// Context: boot processor, once, before init_paging().
Result<void, AcpiError> read_acpi(PhysAddr rsdp);

// Context: any, after read_acpi().
[[nodiscard]] const AcpiInfo& acpi();

}  // namespace graft::arch
