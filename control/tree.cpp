#include "control/tree.h"

#include <algorithm>
#include <optional>

#include "control/files.h"

namespace graft::control {

namespace {

constexpr usize kMaxFunctionName = 200;  // of a function's folder, before the comma

std::span<const Entry> entries_of(NodeKind kind) {
    switch (kind) {
        case NodeKind::root:
            return kRootEntries;
        case NodeKind::task:
            return kTaskEntries;
        case NodeKind::patch:
            return kPatchEntries;
        case NodeKind::function:
            return kFunctionEntries;
        default:
            return {};
    }
}

// The folder whose table has the node, for nodes with a fixed name.
std::optional<NodeKind> table_of(NodeKind kind) {
    switch (kind) {
        case NodeKind::version:
        case NodeKind::tainted:
        case NodeKind::log:
        case NodeKind::symbols:
        case NodeKind::metrics:
        case NodeKind::history:
        case NodeKind::plan:
        case NodeKind::tasks:
        case NodeKind::lingering:
        case NodeKind::livepatch:
            return NodeKind::root;
        case NodeKind::task_attribute:
            return NodeKind::task;
        case NodeKind::patch_attribute:
        case NodeKind::functions:
            return NodeKind::patch;
        case NodeKind::function_address:
        case NodeKind::function_patched:
        case NodeKind::function_old:
        case NodeKind::function_new:
        case NodeKind::function_calls:
        case NodeKind::function_faults:
        case NodeKind::function_latency:
            return NodeKind::function;
        default:
            return std::nullopt;
    }
}

// An entry's node in the folder `directory`. The index of a function's attribute is the function's.
Node node_of(const Entry& entry, Node directory) {
    return {entry.kind, directory.kind == NodeKind::function ? directory.index : entry.index, directory.id};
}

NodeInfo info_of(const Entry& entry, Node directory) {
    NodeInfo info;
    info.id = node_of(entry, directory).encode();
    info.name.assign(entry.name);
    info.is_directory = entry.is_directory;
    info.permissions = entry.permissions;
    return info;
}

NodeInfo folder_info(Node node, std::string_view name) {
    NodeInfo info;
    info.id = node.encode();
    info.name.assign(name);
    info.is_directory = true;
    info.permissions = kFolder;
    return info;
}

NodeInfo task_info(const TaskView& task) {
    Text<24> name;
    name.append(task.id);
    return folder_info({NodeKind::task, 0, task.id}, name.view());
}

NodeInfo function_info(u64 patch, u16 index, const patch::FunctionView& function) {
    std::string_view name = function.name;
    if (name.size() > kMaxFunctionName) name.remove_suffix(name.size() - kMaxFunctionName);
    Text<kMaxNodeName> folder;
    folder.append(name, ',', function.position);
    return folder_info({NodeKind::function, index, patch}, folder.view());
}

NodeInfo upload_info(const Upload& upload) {
    NodeInfo info;
    info.id = Node{NodeKind::upload, 0, upload.id}.encode();
    info.name.assign(upload.file_name.view());
    info.permissions = kReadWrite;
    info.length = upload.bytes.size();
    return info;
}

std::unexpected<ControlError> refuse_gone(NodeKind kind) {
    switch (kind) {
        case NodeKind::task:
            return refuse(ErrorNumber::gone, "the task is gone");
        case NodeKind::lingering_patch:
            return refuse(ErrorNumber::gone, "the patch does not linger any more");
        case NodeKind::upload:
            return refuse(ErrorNumber::gone, "the upload is gone");
        default:
            return refuse(ErrorNumber::gone, "the patch is gone");
    }
}

}  // namespace

NodeId ControlTree::parent(NodeId id) const {
    Node node = Node::decode(id);
    switch (node.kind) {
        case NodeKind::task:
            return Node{NodeKind::tasks}.encode();
        case NodeKind::lingering_patch:
            return Node{NodeKind::lingering}.encode();
        case NodeKind::patch:
        case NodeKind::upload:
            return Node{NodeKind::livepatch}.encode();
        case NodeKind::function:
            return Node{NodeKind::functions, 0, node.id}.encode();
        default:
            break;
    }
    auto table = table_of(node.kind);
    if (!table || *table == NodeKind::root) return root();
    return Node{*table, *table == NodeKind::function ? node.index : u16{0}, node.id}.encode();
}

// ---- Looking

// The nodes that are in a folder only while something else is there.
ControlResult<void> ControlTree::check_alive(Node node) {
    NodeKind folder = node.kind;
    if (auto table = table_of(node.kind)) folder = *table;
    switch (folder) {
        case NodeKind::task:
            if (system_.visit_task(node.id, [](const TaskView&) {})) return {};
            return refuse_gone(NodeKind::task);
        case NodeKind::patch:
        case NodeKind::function:
            if (system_.visit_functions(node.id, [](const patch::FunctionView&) {})) return {};
            return refuse_gone(NodeKind::patch);
        default:
            return {};
    }
}

ControlResult<void> ControlTree::list_functions(u64 patch, FunctionRef<void(const NodeInfo&)> visit) {
    u16 index = 0;
    bool is_there = system_.visit_functions(patch, [&](const patch::FunctionView& function) {
        if (!function.hold) visit(function_info(patch, index, function));
        ++index;
    });
    if (!is_there) return refuse_gone(NodeKind::patch);
    return {};
}

ControlResult<void> ControlTree::list_changing(Node directory, FunctionRef<void(const NodeInfo&)> visit) {
    switch (directory.kind) {
        case NodeKind::tasks:
            system_.visit_tasks([&](const TaskView& task) { visit(task_info(task)); });
            return {};
        case NodeKind::lingering:
            system_.visit_lingering([&](u64 id, std::string_view name, std::span<const patch::Reference>) {
                NodeInfo info = folder_info({NodeKind::lingering_patch, 0, id}, name);
                info.is_directory = false;
                info.permissions = kReadWrite;
                visit(info);
            });
            return {};
        case NodeKind::livepatch:
            system_.visit_patches([&](u64 id, const patch::PatchView& patch) {
                visit(folder_info({NodeKind::patch, 0, id}, patch.name));
            });
            uploads_.visit([&](const Upload& upload) { visit(upload_info(upload)); });
            return {};
        case NodeKind::functions:
            return list_functions(directory.id, visit);
        default:
            return {};
    }
}

ControlResult<void> ControlTree::list(NodeId id, FunctionRef<void(const NodeInfo&)> visit) {
    Node directory = Node::decode(id);
    GRAFT_CHECK(check_alive(directory));
    for (const Entry& entry : entries_of(directory.kind)) visit(info_of(entry, directory));
    return list_changing(directory, visit);
}

ControlResult<NodeId> ControlTree::child(NodeId id, std::string_view name) {
    Node directory = Node::decode(id);
    for (const Entry& entry : entries_of(directory.kind)) {
        if (entry.name != name) continue;
        GRAFT_CHECK(check_alive(directory));
        return node_of(entry, directory).encode();
    }
    std::optional<NodeId> found;
    GRAFT_CHECK(list_changing(directory, [&](const NodeInfo& info) {
        if (!found && info.name.view() == name) found = info.id;
    }));
    if (found) return *found;
    // Whoever looks for something in a patch that has gone is told so.
    GRAFT_CHECK(check_alive(directory));
    // Clients that know plain 9P2000 only recognise this text.
    return refuse(ErrorNumber::not_found, "file not found");
}

ControlResult<NodeInfo> ControlTree::info(NodeId id) {
    Node node = Node::decode(id);
    if (node.kind == NodeKind::root) return folder_info(node, "/");
    auto table = table_of(node.kind);
    if (!table) return changing_info(node);
    GRAFT_CHECK(check_alive(node));
    Node directory = Node::decode(parent(id));
    for (const Entry& entry : entries_of(*table)) {
        if (node_of(entry, directory).encode() == id) return info_of(entry, directory);
    }
    return refuse(ErrorNumber::not_found, "file not found");
}

ControlResult<NodeInfo> ControlTree::changing_info(Node node) {
    if (node.kind == NodeKind::task) {
        NodeInfo info;
        if (system_.visit_task(node.id, [&](const TaskView& task) { info = task_info(task); })) return info;
        return refuse_gone(node.kind);
    }
    if (node.kind == NodeKind::upload) {
        if (Upload* upload = uploads_.find(node.id)) return upload_info(*upload);
        return refuse_gone(node.kind);
    }
    std::optional<NodeInfo> found;
    GRAFT_CHECK(list_changing(Node::decode(parent(node.encode())), [&](const NodeInfo& info) {
        if (info.id == node.encode()) found = info;
    }));
    if (found) return *found;
    return refuse_gone(node.kind);
}

// ---- Opening and changing

ControlResult<std::unique_ptr<File>> ControlTree::open(NodeId id, Access access) {
    Node node = Node::decode(id);
    switch (node.kind) {
        case NodeKind::upload:
            return uploads_.open(node.id, access);
        case NodeKind::log:
        case NodeKind::history:
            return open_stream(node);
        case NodeKind::plan:
            return open_plan(*this);
        default:
            return open_value(*this, node, access);
    }
}

ControlResult<std::unique_ptr<File>> ControlTree::open_stream(Node node) {
    auto next_line = node.kind == NodeKind::log ? &System::next_log_line : &System::next_history_line;
    return control::open_stream(system_, next_line);
}

ControlResult<NodeId> ControlTree::create(NodeId directory, std::string_view name) {
    if (Node::decode(directory).kind != NodeKind::livepatch) {
        return refuse(ErrorNumber::not_permitted, name, " can't be created: files are created in /livepatch only");
    }
    u64 id = GRAFT_TRY(uploads_.create(name));
    return Node{NodeKind::upload, 0, id}.encode();
}

ControlResult<void> ControlTree::remove(NodeId id) {
    NodeInfo info = GRAFT_TRY(this->info(id));
    Node node = Node::decode(id);
    switch (node.kind) {
        case NodeKind::patch:
            return system_.unregister(node.id, 0);
        case NodeKind::upload:
            uploads_.remove(node.id);
            return {};
        default:
            return refuse(ErrorNumber::not_permitted, info.name.view(), " can't be removed");
    }
}

void ControlTree::reset() {
    uploads_.clear();
    last_plan_.release();
}

}  // namespace graft::control
