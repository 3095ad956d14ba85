// Brings a patch into each situation of tests/unit/patch_life_table.h, makes requests, and tells what they have led to.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tests/unit/patch_fixture.h"
#include "tests/unit/patch_life_table.h"

namespace graft::patch::life {

// All that a request may change.
struct Snapshot {
    std::map<std::string, std::string> patches;  // registered ones: how they are
    std::string lingering;
    std::string transition;  // empty: none; else whose and which way
    u64 turns = 0;
    std::string callback;  // empty: none
    u64 forced = 0;
    std::string events;  // but refusals
    sim::Ledger ledger;

    bool operator==(const Snapshot&) const = default;
};

class PatchLifeTest : public PatchRegistryTest {
protected:
    ~PatchLifeTest() override {
        let_end();
        if (is_irreversible_) switch_off();
    }

    // False: there is no such situation.
    bool bring_about(std::string_view situation);
    // The request about the patch, and what it has led to, in the table's words. What isn't to change hasn't.
    std::string outcome(Request request, std::string_view patch);

private:
    using Make = void (PatchLifeTest::*)();
    struct Situation {
        std::string_view name;
        Make make;
    };
    static const Situation kSituations[];

    // -- situations
    void nothing() {}
    void loading();
    void appearing();
    void draining();
    void appeared();
    void load_turned();
    void canary();
    void canary_turned();
    void canary_gave_way();
    void canary_promoted();
    void enabled();
    void irreversible();
    void on_probation();
    void first_on_probation();
    void to_be_unloaded();
    void to_be_unloaded_from_probation();
    void disappearing();
    void disappearing_from_probation();
    void disappeared();
    void unload_turned();
    void turned_on_probation();
    void to_be_rolled_back();
    void rolled_back();
    void rollback_turned();
    void replaced();
    void replaced_with_probation();
    void replace_turned();
    void replaced_by_canary();
    void replaced_by_turned_canary();
    void beside_transition();
    void beside_canary();
    void beside_callback();
    void beside_due_rollback();
    void on_probation_beside_transition();
    void on_probation_beside_canary();
    void on_probation_beside_callback();
    void due_beside_transition();
    void due();
    void lingers();

    void load_canary(const Bytes& file);
    Bytes stateful(const std::string& name, const std::string& set, u32 flags = 0);

    // -- requests
    RefusalResult<void> ask(Request request, std::string_view patch);
    std::string withdrawn(std::string_view patch);
    std::string after_a_minute(std::string_view patch);
    std::string at_the_end(std::string_view patch);
    void let_end();

    Snapshot look();
    std::string describe(const PatchView& view) const;
    std::string where(std::string_view patch);
    std::string difference(const Snapshot& before, const Snapshot& after);
    std::string given_up();

    bool is_irreversible_ = false;
};

}  // namespace graft::patch::life
