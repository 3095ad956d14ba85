// The states that the patch declares, and where their callbacks lie.
#include "patch/plan.h"

namespace graft::patch {

RefusalResult<void> Plan::fit_states(Machine& machine) {
    if (!states_.create(machine, metadata_.state_count())) return refuse(RefusalCode::no_memory, metadata_.name());
    usize cursor = 0;
    usize count = 0;
    while (auto declared = metadata_.next_state(cursor)) {
        for (usize i = 0; i < count; ++i) {
            const formats::KlpState& former = states_[i].declared;
            if (former.id != declared->id) continue;
            return refuse(RefusalCode::repeated_state, declared->name, declared->where, declared->id, 0, former.name);
        }
        states_[count].declared = *declared;
        GRAFT_CHECK(fit_callbacks(states_[count]));
        ++count;
    }
    return {};
}

RefusalResult<void> Plan::fit_callbacks(PlannedState& state) const {
    const formats::KlpState& declared = state.declared;
    for (usize i = 0; i < state.callback.size(); ++i) {
        u32 index = declared.callback[i];
        if (index == 0) continue;
        auto bad = [&] { return refuse(RefusalCode::bad_callback, declared.name, declared.where, index); };
        if (index >= object_.symbol_count()) return bad();
        auto symbol = object_.symbol(index);
        if (!is_function(symbol)) return bad();
        if (find_new_function(symbol.section, symbol.value) != nullptr) {
            return refuse(RefusalCode::callback_replaces, declared.name, declared.where);
        }
        state.callback[i] = {symbol.section, symbol.value};
    }
    return {};
}

}  // namespace graft::patch
