// The boot menu of an image's ISO, as far as baking needs it: which file GRUB starts, and which modules go with it.
// Pure text; context: host only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace graft::tool {

// The path behind the first `multiboot2`; nothing when there is none.
std::optional<std::string> image_path(std::string_view config);
// The paths behind `module2`, in order.
std::vector<std::string> module_paths(std::string_view config);

struct NewModule {
    std::string path;  // in the ISO
    std::string name;  // what the image is told; no blanks
};
// Each entry that starts an image loads `modules` behind those that it has, and starts with `word` on its command line,
// unless empty or there already.
std::string add_modules(std::string_view config, const std::vector<NewModule>& modules, std::string_view word);

}  // namespace graft::tool
