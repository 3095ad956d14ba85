#include "patch/changing_set.h"

#include <algorithm>

#include "base/assert.h"

namespace graft::patch {

bool ChangingSet::reserve(Machine& machine, usize capacity) {
    count_ = 0;
    return ranges_.create(machine, capacity);
}

void ChangingSet::add(AddressRange range) {
    if (range.empty()) return;
    GRAFT_ASSERT(count_ < ranges_.size());
    ranges_[count_++] = range;
}

void ChangingSet::close() {
    std::sort(ranges_.data(), ranges_.data() + count_,
              [](const AddressRange& left, const AddressRange& right) { return left.begin < right.begin; });
    usize kept = 0;
    for (usize i = 0; i < count_; ++i) {
        if (kept != 0 && ranges_[i].begin <= ranges_[kept - 1].end) {
            ranges_[kept - 1].end = std::max(ranges_[kept - 1].end, ranges_[i].end);
        } else {
            ranges_[kept++] = ranges_[i];
        }
    }
    count_ = kept;
}

bool ChangingSet::contains(VirtAddr pc) const {
    auto all = ranges();
    auto after = std::upper_bound(all.begin(), all.end(), pc,
                                  [](VirtAddr address, const AddressRange& range) { return address < range.begin; });
    return after != all.begin() && (after - 1)->contains(pc);
}

}  // namespace graft::patch
