// The control tree's open files. All of them answer at once or say that the reader must wait. Task context.
#pragma once

#include <memory>
#include <string_view>

#include "base/text.h"
#include "control/layout.h"
#include "control/node.h"
#include "control/system.h"
#include "control/tree.h"

namespace graft::control {

// A value or a list, as it is at this moment; reading from the start again looks again, reading on does not. A write is
// one new value.
ControlResult<std::unique_ptr<File>> open_value(ControlTree& tree, Node node, Access access);

// Lines from the oldest on; the reader waits at the end. Offsets are ignored: what has been read is gone.
using NextLine = bool (System::*)(u64& cursor, TextBuffer& line);
ControlResult<std::unique_ptr<File>> open_stream(System& system, NextLine next_line);

// A patch is written, then its plan is read through the same open file or, until the client goes, any later one.
ControlResult<std::unique_ptr<File>> open_plan(ControlTree& tree);

}  // namespace graft::control
