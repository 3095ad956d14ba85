#include "control/fid_table.h"

#include "base/assert.h"

namespace graft::control {

bool FidTable::allocate() {
    fids_.reset(new (kOrNull) std::unique_ptr<Fid>[limit_]);
    return fids_ != nullptr;
}

Fid* FidTable::find(u32 number) {
    for (usize i = 0; i < limit_; ++i) {
        if (fids_[i] && fids_[i]->number == number) return fids_[i].get();
    }
    return nullptr;
}

Fid* FidTable::add(u32 number, NodeId node, bool is_directory) {
    GRAFT_ASSERT(find(number) == nullptr);
    for (usize i = 0; i < limit_; ++i) {
        if (fids_[i]) continue;
        fids_[i].reset(new (kOrNull) Fid(quota_));
        if (!fids_[i]) return nullptr;
        fids_[i]->number = number;
        fids_[i]->node = node;
        fids_[i]->is_directory = is_directory;
        return fids_[i].get();
    }
    return nullptr;
}

void FidTable::remove(Fid& fid) {
    for (usize i = 0; i < limit_; ++i) {
        if (fids_[i].get() == &fid) fids_[i].reset();
    }
}

void FidTable::clear() {
    for (usize i = 0; i < limit_; ++i) fids_[i].reset();
}

}  // namespace graft::control
