// PatchSystem: the part of the System that the registry of patches answers. It knows nothing of the kernel, so it runs
// over the simulation as well. Context: task; takes the registry's lock.
#pragma once

#include <string_view>

#include "control/system.h"
#include "patch/registry.h"

namespace graft::control {

class PatchSystem : public System {
public:
    explicit PatchSystem(patch::Registry& registry) : registry_(registry) {}

    bool next_history_line(u64& cursor, TextBuffer& line) override;

    void visit_patches(FunctionRef<void(u64 id, const patch::PatchView&)> visit) override;
    bool visit_functions(u64 patch, FunctionRef<void(const patch::FunctionView&)> visit) override;
    bool visit_states(u64 patch, FunctionRef<void(const patch::StateView&)> visit) override;
    void visit_lingering(FunctionRef<LingeringVisit> visit) override;

    std::optional<ControlResult<void>> outcome(u64 ticket) override;
    ControlResult<void> load(std::span<const std::byte> file, const LoadRequest& request) override;
    ControlResult<void> unregister(u64 patch, u64 deadline_ns) override;
    ControlResult<void> rollback(u64 patch, u64 deadline_ns) override;
    ControlResult<void> promote(u64 patch, u64 deadline_ns) override;
    ControlResult<void> reverse(u64 patch) override;
    ControlResult<void> commit(u64 patch) override;
    ControlResult<void> force(u64 patch) override;
    void search_lingering() override { registry_.search_lingering(); }
    void plan(std::span<const std::byte> file, patch::Source source, GrowingText& answer) override;

protected:
    ~PatchSystem() = default;

    using PatchName = FixedText<256>;
    // False when there is no such registered patch.
    bool find_name(u64 patch, PatchName& name);
    patch::Registry& registry() { return registry_; }

private:
    // Makes the request of the registry by the patch's name.
    template <typename Request>
    ControlResult<void> ask(u64 patch, Request request);

    patch::Registry& registry_;
};

}  // namespace graft::control
