// FidTable: what a client's fids stand for. Of fixed size, so that a client can't take more than it was given. Not
// synchronised; task context.
#pragma once

#include <memory>

#include "base/types.h"
#include "control/buffer.h"
#include "control/node.h"

namespace graft::control {

struct Fid {
    explicit Fid(Quota& quota) : listing(quota) {}

    u32 number = 0;
    NodeId node;
    bool is_directory = false;
    bool is_open = false;
    Access access;
    std::unique_ptr<File> file;  // open file
    ByteBuffer listing;          // open directory: its stat records, as they were when it was read from the start
    usize listing_offset = 0;    // where the next read of the directory must begin
};

class FidTable {
public:
    FidTable(Quota& quota, usize limit) : quota_(quota), limit_(limit) {}

    // False when there is no memory.
    bool allocate();
    Fid* find(u32 number);
    // Null when all fids are in use; the number is not in use (asserted).
    Fid* add(u32 number, NodeId node, bool is_directory);
    // Drops an open file.
    void remove(Fid& fid);
    void clear();

private:
    Quota& quota_;
    usize limit_;
    std::unique_ptr<std::unique_ptr<Fid>[]> fids_;
};

}  // namespace graft::control
