#pragma once

namespace corpus {

// The body of a task. Never returns, and is itself what a patch may want to change.
void beat_for_ever(void* argument);
long beats();

}  // namespace corpus
