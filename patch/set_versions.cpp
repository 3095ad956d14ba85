#include "patch/set_versions.h"

namespace graft::patch {

SetVersions::~SetVersions() {
    while (SetVersion* version = list_.pop_front()) RecordOwner<SetVersion>::adopt(machine_, *version).reset();
}

SetVersion* SetVersions::find(std::string_view set) {
    for (SetVersion& version : list_) {
        if (version.set.view() == set) return &version;
    }
    return nullptr;
}

RefusalResult<void> SetVersions::check(std::string_view set, std::string_view version) {
    const SetVersion* known = find(set);
    if (known == nullptr) return {};
    auto parsed = formats::parse_patch_version(version);
    if (parsed && *parsed >= known->highest) return {};
    Text<kMaxLabel> other;
    other.append("it has had ", known->text.view(), ", this is ", version.empty() ? "without one" : version);
    return refuse(RefusalCode::downgrade, set, 0, 0, 0, other.view());
}

RecordOwner<SetVersion> SetVersions::prepare(std::string_view set, std::string_view version) {
    auto parsed = formats::parse_patch_version(version);
    if (!parsed) return {};
    auto prepared = RecordOwner<SetVersion>::create(machine_);
    if (!prepared) return {};
    prepared->set.assign(set);
    prepared->text.assign(version);
    prepared->highest = *parsed;
    return prepared;
}

void SetVersions::raise(RecordOwner<SetVersion> prepared) {
    if (!prepared) return;
    SetVersion* known = find(prepared->set.view());
    if (known == nullptr) {
        list_.push_back(prepared.give_up());
        return;
    }
    if (prepared->highest <= known->highest) return;
    known->highest = prepared->highest;
    known->text = prepared->text;
}

}  // namespace graft::patch
