// ControlTree: the control tree (docs/reference/control-tree.md) as one client sees it. It presents a System and holds
// what this client has begun: its uploads and its last plan. Not synchronised; task context.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "base/types.h"
#include "control/buffer.h"
#include "control/layout.h"
#include "control/node.h"
#include "control/system.h"
#include "control/uploads.h"

namespace graft::control {

// What a client's uploads, plans and open snapshots may take: a patch of the largest size and its plan, and some
// listings.
inline constexpr usize kClientMemory = 2 * formats::kKlpMaxFile + 4 * 1024 * 1024;

class ControlTree final : public Tree {
public:
    // `source`: the way that the client comes, which decides how far its patches are trusted.
    explicit ControlTree(System& system, patch::Source source = patch::Source::network,
                         usize client_memory = kClientMemory)
        : system_(system),
          source_(source),
          quota_(client_memory),
          uploads_(system, source, quota_),
          last_plan_(quota_) {}

    NodeId root() const override { return Node{NodeKind::root}.encode(); }
    NodeId parent(NodeId node) const override;
    ControlResult<NodeId> child(NodeId directory, std::string_view name) override;
    ControlResult<NodeInfo> info(NodeId node) override;
    ControlResult<void> list(NodeId directory, FunctionRef<void(const NodeInfo&)> visit) override;
    ControlResult<std::unique_ptr<File>> open(NodeId file, Access access) override;
    ControlResult<NodeId> create(NodeId directory, std::string_view name) override;
    ControlResult<void> remove(NodeId node) override;
    std::optional<ControlResult<void>> outcome(u64 ticket) override { return system_.outcome(ticket); }
    void reset() override;
    void note(std::string_view text) override { system_.note(text); }

    // For open files of the tree; tree_values.cpp.
    ControlResult<void> write_value(Node node, std::string_view text);
    ControlResult<void> read_value(Node node, ByteBuffer& out);
    // Makes a plan for the file in `patch`; it becomes the last plan.
    ControlResult<void> make_plan(std::span<const std::byte> patch);
    std::span<const std::byte> last_plan() const { return last_plan_.view(); }
    Quota& quota() { return quota_; }

private:
    // Calls `visit` for each node in the folder that can come and go.
    ControlResult<void> list_changing(Node directory, FunctionRef<void(const NodeInfo&)> visit);
    ControlResult<void> list_functions(u64 patch, FunctionRef<void(const NodeInfo&)> visit);
    ControlResult<NodeInfo> changing_info(Node node);
    ControlResult<void> check_alive(Node node);
    ControlResult<std::unique_ptr<File>> open_stream(Node node);

    ControlResult<void> render(Node node, GrowingText& out);
    ControlResult<void> render_task(Node node, GrowingText& out);
    ControlResult<void> render_patch(Node node, GrowingText& out);
    bool render_states(Node node, GrowingText& out);
    ControlResult<void> render_function(Node node, GrowingText& out);
    ControlResult<void> render_lingering(Node node, GrowingText& out);

    System& system_;
    const patch::Source source_;
    Quota quota_;
    Uploads uploads_;
    ByteBuffer last_plan_;
};

}  // namespace graft::control
