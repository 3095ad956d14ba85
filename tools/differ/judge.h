// What cannot be done live, and what the author has to judge: what compare() asks before anything is emitted.
//
// The judges' refusals, by code (docs/writing-patches.md says more about each):
//   changed-layout      a type that objects of the running image can have
//   changed-vtable      size, slots or entries of a class's table of virtual functions
//   changed-data        the initial value or the size of data and constants that the image has
//   boot-only           nothing changed but code that has run, once
//   changed-assembly    a unit in assembly
//   no-patch            a changed function is on the no-patch list
//   no-call-site        a changed function has no call site
// and their warnings: changed-meaning, changed-coroutine, removed-data, new-data, address-outlives, boot-only, endless.
//
// judge() also decides what is held, and fills in the decisions' places, reasons (what was inlined) and `endless`.
#pragma once

#include "tools/differ/comparison.h"

namespace graft::differ {

// The decisions stand: kinds, names, units and entries. Afterwards `result` has refusals and warnings in no order.
PackResult<void> judge(const Comparison& comparison, Result& result);

}  // namespace graft::differ
