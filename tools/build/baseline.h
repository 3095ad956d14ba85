// Baseline: what an image was made of, as its link left it in the build folder (mk/record_baseline.py writes it).
//
// Sources have names: from the root of the repository ("kernel/log.cpp"), "app/…" for those of an application's folder
// outside of it, "build-sources/…" for those of fetched packages, wherever they were unpacked. These are the names that
// debug information and messages have. The file `record` is lines of fields separated by tabs:
//
//   graft-baseline 1
//   root PATH                    where the repository was, when the image was made
//   fetched PATH                 where packages were unpacked
//   app PATH                     the application's folder, if outside
//   compiler WORD PATH VERSION   for each program that made an object: first line of its --version
//   flags ARGUMENT…              counted from 0
//   unit OBJECT SOURCE WORD N    an object, its source, the compiler and the number of the flags
//   from SOURCE                  what the unit above includes; its own source comes first
//   template FOLDER SUFFIX WORD N  how a new source in that folder is compiled
//
// Context: host; immutable once opened.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "tools/graft/failure.h"

namespace graft::build {

using tool::Outcome;

struct Compiler {
    std::string word;  // as the makefile calls it: "g++"
    std::string path;
    std::string version;
};

// How one source is compiled, but for the names of files.
struct Recipe {
    usize compiler = 0;  // index into compilers()
    usize flags = 0;     // index into flags
};

struct BaselineUnit {
    std::string object;  // as the link map names it: "build/image/kernel/log.cpp.o"
    std::string source;
    Recipe recipe;
    std::vector<std::string> from;  // the source and all headers of the tree that it includes
};

class Baseline {
public:
    // `folder` is a build folder such as build/demo.
    static Outcome<Baseline> open(const std::string& folder);

    const std::string& folder() const { return folder_; }
    std::filesystem::path image() const { return root_ / "image.elf"; }
    std::filesystem::path map() const { return root_ / "map"; }
    std::filesystem::path objects() const { return root_ / "objects"; }
    std::filesystem::path sources() const { return root_ / "sources"; }

    const std::string& tree() const { return tree_; }
    const std::string& app() const { return app_; }  // empty: in the tree
    const std::string& fetched() const { return fetched_; }
    // Is it the name of a fetched package's source?
    static bool is_fetched(std::string_view name) { return name.starts_with("build-sources/"); }
    const std::vector<Compiler>& compilers() const { return compilers_; }
    const std::vector<BaselineUnit>& units() const { return units_; }
    const std::set<std::string>& names() const { return names_; }  // of all sources that were kept
    bool has(const std::string& name) const { return names_.contains(name); }

    // How a new source of that name would be compiled; null when no such folder belongs to the image.
    const Recipe* recipe_for(const std::string& source) const;
    // May a file of that name be part of the image?
    bool is_inside(const std::string& name) const;
    // The topmost folders whose sources make the image.
    std::vector<std::string> folders() const;

    // The command for a source of the tree that lies in `sources`, in the stead of the tree it was recorded from. The
    // source is named last, the way the record names it.
    std::vector<std::string> command(const Recipe& recipe, const std::string& source,
                                     const std::filesystem::path& sources) const;
    // The name as the user has it: the path of a file of an outside application, or of packages unpacked outside; else
    // the name itself.
    std::string shown(const std::string& name) const;

private:
    struct Template {
        std::string folder;
        std::string suffix;
        Recipe recipe;
    };
    struct Reader;

    Outcome<void> read_record();
    Outcome<void> read_names();

    std::string folder_;
    std::filesystem::path root_;
    std::string tree_;
    std::string app_;
    std::string fetched_;
    std::vector<Compiler> compilers_;
    std::vector<std::vector<std::string>> flags_;
    std::vector<BaselineUnit> units_;
    std::vector<Template> templates_;
    std::set<std::string> names_;
};

// Is this the name of a source or header?
bool is_source_name(std::string_view name);

}  // namespace graft::build
