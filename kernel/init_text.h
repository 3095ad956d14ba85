// .init.text: what only runs while the image boots, as tools/inittext found it in the image. It runs on the boot
// processor, with interrupts off, before there is anything but idle tasks there; nobody has its address. When the
// system is up its pages are unmapped and become ordinary memory.
//
// No patch may change it, hold it or refer to it, before it is gone as after.
#pragma once

namespace graft::kernel {

// Returns when the pages have been given back. Where a task stands in them, or may, they stay, and the log says so.
// Context: task, once, when the boot processor is on its way to its idle task or past it.
void release_init_text();

}  // namespace graft::kernel
