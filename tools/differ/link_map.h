// The linker's map: where it put each section of each object.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "tools/patch/object.h"

namespace graft::differ {

struct LinkedSection {
    std::string name;
    u64 address = 0;
    u64 size = 0;
    bool discarded = false;  // by garbage collection, or another object's copy was kept
};

class LinkMap {
public:
    // `text` is the file's content, `path` its name for messages.
    static tools::PackResult<LinkMap> parse(std::string_view text, const std::string& path);

    const std::string& path() const { return path_; }
    // The sections of an object by its name on the linker's command line, in the map's order; nothing when it wasn't
    // linked.
    const std::vector<LinkedSection>* object(const std::string& name) const;
    // The objects in the order in which the linker took them.
    const std::vector<std::string>& objects() const { return order_; }

private:
    std::string path_;
    std::map<std::string, std::vector<LinkedSection>> sections_;
    std::vector<std::string> order_;
};

}  // namespace graft::differ
