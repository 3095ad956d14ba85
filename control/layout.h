// The control tree's layout: which nodes there are, and how a NodeId names one. The files and folders that are always
// there are tables; what comes and goes is named by the id of the patch, task or upload that it belongs to.
//
// A NodeId's value, and so the path of its qid:  kind (8 bits) | index (16 bits) | id (40 bits).
#pragma once

#include <string_view>

#include "base/types.h"
#include "control/node.h"

namespace graft::control {

enum class NodeKind : u8 {
    root = 1,
    // files in the root
    version,
    tainted,
    log,
    symbols,
    metrics,
    history,
    plan,
    // folders in the root
    tasks,
    lingering,
    livepatch,
    // id: the task
    task,
    task_attribute,  // index: TaskAttribute
    // id: the patch
    lingering_patch,
    patch,
    patch_attribute,  // index: PatchAttribute
    functions,
    function,  // index: of the function, in visit_functions()
    function_address,
    function_patched,
    function_old,
    function_new,
    function_calls,
    function_faults,
    function_latency,
    // id: the upload
    upload,
};

enum class TaskAttribute : u16 { name, state, cpu, priority, patch_state, stack, moves };

enum class PatchAttribute : u16 {
    enabled,
    unregister,
    transition,
    force,
    probation,
    abort_if,
    commit,
    rollback,
    dormant,
    set,
    replaces,
    version,
    description,
    fixes,
    built_from,
    built_with,
    signer,
    blocking,
    states,
    nudge,
    faults,
    canary,
    promote,
};

struct Node {
    NodeKind kind;
    u16 index = 0;
    u64 id = 0;

    constexpr NodeId encode() const { return {(static_cast<u64>(kind) << 56) | (static_cast<u64>(index) << 40) | id}; }
    static constexpr Node decode(NodeId node) {
        return {static_cast<NodeKind>(node.value >> 56), static_cast<u16>(node.value >> 40),
                node.value & ((u64{1} << 40) - 1)};
    }
};

// A node with a fixed name in its folder.
struct Entry {
    std::string_view name;
    NodeKind kind;
    u16 index;
    bool is_directory;
    u16 permissions;
};

inline constexpr u16 kReadOnly = 0444;
inline constexpr u16 kWriteOnly = 0222;
inline constexpr u16 kReadWrite = 0644;
inline constexpr u16 kFolder = 0555;
inline constexpr u16 kFolderToFill = 0755;

inline constexpr Entry kRootEntries[] = {
    {"version", NodeKind::version, 0, false, kReadOnly},  {"tainted", NodeKind::tainted, 0, false, kReadOnly},
    {"log", NodeKind::log, 0, false, kReadOnly},          {"symbols", NodeKind::symbols, 0, false, kReadOnly},
    {"metrics", NodeKind::metrics, 0, false, kReadOnly},  {"history", NodeKind::history, 0, false, kReadOnly},
    {"tasks", NodeKind::tasks, 0, true, kFolder},         {"plan", NodeKind::plan, 0, false, kReadWrite},
    {"lingering", NodeKind::lingering, 0, true, kFolder}, {"livepatch", NodeKind::livepatch, 0, true, kFolderToFill},
};

inline constexpr Entry kTaskEntries[] = {
    {"name", NodeKind::task_attribute, static_cast<u16>(TaskAttribute::name), false, kReadOnly},
    {"state", NodeKind::task_attribute, static_cast<u16>(TaskAttribute::state), false, kReadOnly},
    {"cpu", NodeKind::task_attribute, static_cast<u16>(TaskAttribute::cpu), false, kReadOnly},
    {"priority", NodeKind::task_attribute, static_cast<u16>(TaskAttribute::priority), false, kReadOnly},
    {"patch_state", NodeKind::task_attribute, static_cast<u16>(TaskAttribute::patch_state), false, kReadOnly},
    {"stack", NodeKind::task_attribute, static_cast<u16>(TaskAttribute::stack), false, kReadOnly},
    {"moves", NodeKind::task_attribute, static_cast<u16>(TaskAttribute::moves), false, kReadOnly},
};

inline constexpr Entry kPatchEntries[] = {
    {"enabled", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::enabled), false, kReadWrite},
    {"unregister", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::unregister), false, kWriteOnly},
    {"transition", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::transition), false, kReadWrite},
    {"force", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::force), false, kWriteOnly},
    {"probation", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::probation), false, kReadOnly},
    {"abort_if", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::abort_if), false, kReadOnly},
    {"commit", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::commit), false, kWriteOnly},
    {"rollback", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::rollback), false, kWriteOnly},
    {"dormant", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::dormant), false, kReadOnly},
    {"set", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::set), false, kReadOnly},
    {"replaces", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::replaces), false, kReadOnly},
    {"version", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::version), false, kReadOnly},
    {"description", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::description), false, kReadOnly},
    {"fixes", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::fixes), false, kReadOnly},
    {"built_from", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::built_from), false, kReadOnly},
    {"built_with", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::built_with), false, kReadOnly},
    {"signer", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::signer), false, kReadOnly},
    {"blocking", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::blocking), false, kReadOnly},
    {"states", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::states), false, kReadOnly},
    {"nudge", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::nudge), false, kWriteOnly},
    {"faults", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::faults), false, kReadOnly},
    {"canary", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::canary), false, kReadOnly},
    {"promote", NodeKind::patch_attribute, static_cast<u16>(PatchAttribute::promote), false, kWriteOnly},
    {"functions", NodeKind::functions, 0, true, kFolder},
};

inline constexpr Entry kFunctionEntries[] = {
    {"address", NodeKind::function_address, 0, false, kReadOnly},
    {"patched", NodeKind::function_patched, 0, false, kReadOnly},
    {"old", NodeKind::function_old, 0, false, kReadOnly},
    {"new", NodeKind::function_new, 0, false, kReadOnly},
    {"calls", NodeKind::function_calls, 0, false, kReadOnly},
    {"faults", NodeKind::function_faults, 0, false, kReadOnly},
    {"latency", NodeKind::function_latency, 0, false, kReadOnly},
};

}  // namespace graft::control
