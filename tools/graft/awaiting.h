// Waiting for what becomes of a change to the patches, and telling it.
//
// Nothing is polled. Whoever will want the outcome reads /history to its end first, so that the record that names the
// outcome cannot be missed, makes the change, and then waits for that record.
#pragma once

#include <memory>
#include <string>

#include "tools/graft/command.h"
#include "tools/graft/history.h"
#include "tools/graft/ninep_client.h"

namespace graft::tool {

enum class Wanted { loaded, promoted, unloaded, rolled_back, out_of_force, any };

// At the end of the history as it is now.
Outcome<std::unique_ptr<Follower>> follow_history(NinepClient& client);

// Tells what the history says about the patch until its transition has ended, or, for Wanted::loaded and any, the share
// of a canary has moved. Refused when it ended otherwise than
// wanted; timed out when its deadline turned it round, naming the tasks that held it, and what holds the way back if
// that takes long.
Outcome<void> await_outcome(NinepClient& client, Follower& history, const std::string& patch, Wanted wanted,
                            const Globals& globals);

}  // namespace graft::tool
