// Tree: a synthetic file tree as the 9P server presents it. Whoever implements it makes directories and contents up
// while they are looked at; nothing of a tree is stored.
//
// A node is named by a NodeId, a plain number that identifies a thing for ever: when the thing goes, its number is not
// given to another, and every operation on it says that it is gone. So a client may hold on to what it has walked to
// for as long as it likes, and nothing dangles.
//
// One Tree object serves one client and is not synchronised; what lies behind it may change at any time. Context: task.
// No operation waits: a read that has nothing to give yet says so and is repeated later; a write, sync, close or remove
// that isn't decided yet says later(), and outcome() has the answer.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/function_ref.h"
#include "base/types.h"
#include "control/error.h"

namespace graft::control {

struct NodeId {
    u64 value = 0;
    constexpr auto operator<=>(const NodeId&) const = default;
};

inline constexpr usize kMaxNodeName = 224;

struct NodeInfo {
    NodeId id;
    FixedText<kMaxNodeName> name;
    bool is_directory = false;
    u16 permissions = 0;  // the nine bits
    u32 version = 0;      // changes when the content has changed
    u64 length = 0;       // 0 also when it is not known before the file is opened
};

struct Access {
    bool read = false;
    bool write = false;
};

// An open file. Destroying it without close() drops it: nothing that it would have brought about happens.
class File {
public:
    virtual ~File() = default;

    // The number of bytes put into `out`; 0 means the end, unless `waits` is set: then there will be more.
    virtual ControlResult<usize> read(u64 offset, std::span<std::byte> out, bool& waits);
    virtual ControlResult<void> write(u64 offset, std::span<const std::byte> bytes);
    // All has been written; what follows from it happens now and its error is told.
    virtual ControlResult<void> sync();
    virtual ControlResult<void> close();
};

class Tree {
public:
    virtual ~Tree() = default;

    virtual NodeId root() const = 0;
    // The root is its own parent.
    virtual NodeId parent(NodeId node) const = 0;
    virtual ControlResult<NodeId> child(NodeId directory, std::string_view name) = 0;
    virtual ControlResult<NodeInfo> info(NodeId node) = 0;
    virtual ControlResult<void> list(NodeId directory, FunctionRef<void(const NodeInfo&)> visit) = 0;

    // Only called for files, with an access that the permissions allow.
    virtual ControlResult<std::unique_ptr<File>> open(NodeId file, Access access) = 0;
    virtual ControlResult<NodeId> create(NodeId directory, std::string_view name) = 0;
    virtual ControlResult<void> remove(NodeId node) = 0;

    // Nothing while the request with this ticket isn't decided.
    virtual std::optional<ControlResult<void>> outcome(u64 ticket) = 0;

    // The client is gone: whatever it had begun is dropped.
    virtual void reset() = 0;
    // Something worth the log, e.g. a malformed message.
    virtual void note(std::string_view text) = 0;
};

}  // namespace graft::control
