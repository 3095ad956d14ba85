// The task that searches for what still points into patches that are out of force. It is an ordinary task of default
// priority, so that the applications go on meanwhile; patches linger until it has been through.
#pragma once

namespace graft::kernel {

using SearchFunction = void (*)(void* argument);

// Context: boot, once, after the registry exists.
void start_patch_search(SearchFunction search, void* argument);

// Has it call the function soon, once more when it is under way. False before the start.
// Context: any with no lock of rank run_queue or above.
bool wake_patch_search();

}  // namespace graft::kernel
