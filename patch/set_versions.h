// SetVersions: the highest version that each replace set has had in force since boot. It keeps old patches, which are
// as well signed as new ones, from being played again: what is lower is refused unless the load allows it.
//
// A patch without a version counts as lower than any. Sets whose patches never had one take no record; the others keep
// theirs, also when none of their patches is loaded any more.
//
// Locking: the registry's lock. Context: task.
#pragma once

#include <string_view>

#include "base/intrusive_list.h"
#include "formats/version.h"
#include "patch/memory.h"
#include "patch/refusal.h"

namespace graft::patch {

struct SetVersion {
    ListHook hook;
    Label<200> set;
    Label<64> text;  // of `highest`, as the patch wrote it, maybe cut
    formats::PatchVersion highest;
};

class SetVersions {
public:
    explicit SetVersions(Machine& machine) : machine_(machine) {}
    SetVersions(const SetVersions&) = delete;
    SetVersions& operator=(const SetVersions&) = delete;
    ~SetVersions();

    // May a patch of this version (a text that was checked; empty: none) join the set?
    RefusalResult<void> check(std::string_view set, std::string_view version);
    // A record for what may have to be kept when the patch is in force; empty when it has no version, or no memory.
    RecordOwner<SetVersion> prepare(std::string_view set, std::string_view version);
    // The patch for which `prepared` was made is in force. Its record is taken, or dropped when there is one already.
    void raise(RecordOwner<SetVersion> prepared);

private:
    SetVersion* find(std::string_view set);

    Machine& machine_;
    IntrusiveList<SetVersion, &SetVersion::hook> list_;
};

}  // namespace graft::patch
