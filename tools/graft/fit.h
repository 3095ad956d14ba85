// Whether patches fit an image, judged on the host from the files alone: what the image's loader would refuse for the
// image's sake, or because one patch is in another's way. What only the loader sees (relocations, memory) is left to
// it.
//
// Context: host only; single-threaded.
#pragma once

#include <string>
#include <vector>

#include "formats/klp.h"
#include "tools/graft/failure.h"
#include "tools/patch/image.h"
#include "tools/patch/object.h"
#include "tools/signing/keys.h"

namespace graft::tool {

// A patch file, opened; the views point into `bytes`.
struct PatchFile {
    std::string path;
    std::vector<std::byte> bytes;
    formats::KlpFile file;
    tools::Object object;
    formats::KlpMetadata metadata;

    std::string name() const { return std::string(metadata.name()); }
    std::string set() const { return std::string(metadata.set().empty() ? metadata.name() : metadata.set()); }
};

Outcome<PatchFile> open_patch_file(const std::string& path);

// The public keys that the image was built with.
Outcome<std::vector<tools::NamedPublicKey>> trusted_keys_of(const tools::Image& image);

// Signature, build-id, functions and references of one patch.
Outcome<void> check_fit(const PatchFile& patch, const tools::Image& image,
                        const std::vector<tools::NamedPublicKey>& keys);

// Patches that are loaded one after the other, in this order, with nothing else loaded.
Outcome<void> check_together(const std::vector<PatchFile>& patches);

}  // namespace graft::tool
