// Uploads: the files that a client is sending into /livepatch. `<name>.klp` is a patch; it is loaded once, at the sync
// or else at the close. `<name>.opt` holds the options of the next load of that name, `key=value` a line; it stays
// until that load has used it up, or the client goes. Not synchronised; task context.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string_view>

#include "base/types.h"
#include "control/buffer.h"
#include "control/error.h"
#include "control/node.h"
#include "control/system.h"
#include "formats/klp.h"

namespace graft::control {

inline constexpr usize kMaxUploads = 8;  // of one client at a time
inline constexpr usize kMaxOptionsSize = 4096;

struct Upload {
    enum class Kind : u8 { patch, options };
    enum class State : u8 {
        receiving,
        broken,   // a write was refused: what arrived isn't what the client has
        loading,  // its bytes are gone; `ticket` will tell
        loaded,   // its bytes are gone
        refused,  // the same
    };

    explicit Upload(Quota& quota) : bytes(quota) {}

    u64 id = 0;
    Kind kind = Kind::patch;
    State state = State::receiving;
    bool is_open = false;
    u64 ticket = 0;  // loading
    FixedText<kMaxNodeName> file_name;
    ByteBuffer bytes;

    // Without the ending.
    std::string_view patch_name() const;
    usize limit() const { return kind == Kind::patch ? formats::kKlpMaxFile : kMaxOptionsSize; }
};

class Uploads {
public:
    Uploads(System& system, patch::Source source, Quota& quota) : system_(system), source_(source), quota_(quota) {}

    ControlResult<u64> create(std::string_view file_name);
    // Null when it is gone.
    Upload* find(u64 id);
    Upload* find(std::string_view file_name);
    void remove(u64 id);
    void clear();

    ControlResult<std::unique_ptr<File>> open(u64 id, Access access);
    ControlResult<void> write(Upload& upload, u64 offset, std::span<const std::byte> bytes);
    // Loads a patch that hasn't been loaded yet.
    ControlResult<void> finish(Upload& upload);
    // Of one that is loading.
    bool is_decided(const Upload& upload);

    template <typename Visit>
    void visit(Visit visit) const {
        for (const auto& upload : uploads_) {
            if (upload) visit(*upload);
        }
    }

private:
    ControlResult<void> load(Upload& upload);
    ControlResult<void> take_options(std::string_view patch_name, LoadRequest& request);

    System& system_;
    const patch::Source source_;
    Quota& quota_;
    std::array<std::unique_ptr<Upload>, kMaxUploads> uploads_;
    u64 last_id_ = 0;
};

}  // namespace graft::control
