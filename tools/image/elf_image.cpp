#include "tools/image/elf_image.h"

#include <fcntl.h>
#include <gelf.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace graft::tools {

void stop(const std::string& message) {
    std::fprintf(stderr, "imagetables: %s\n", message.c_str());
    std::exit(1);
}

ElfImage::ElfImage(const std::string& path) : path_(path) {
    elf_version(EV_CURRENT);
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) stop(path + ": " + std::strerror(errno));
    elf_ = elf_begin(fd_, ELF_C_READ_MMAP, nullptr);
    GElf_Ehdr header;
    if (elf_ == nullptr || elf_kind(elf_) != ELF_K_ELF || gelf_getehdr(elf_, &header) == nullptr)
        stop(path + ": no ELF file");
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64 || header.e_type != ET_EXEC)
        stop(path + ": no linked x86-64 image");
    read_segments();
    read_symbols();
}

ElfImage::~ElfImage() {
    elf_end(elf_);
    ::close(fd_);
}

void ElfImage::read_segments() {
    size_t count = 0;
    size_t file_size = 0;
    const char* raw = elf_rawfile(elf_, &file_size);
    if (raw == nullptr || elf_getphdrnum(elf_, &count) != 0) stop(path_ + ": no program headers");
    auto file = std::as_bytes(std::span(raw, file_size));
    for (size_t i = 0; i < count; ++i) {
        GElf_Phdr header;
        if (gelf_getphdr(elf_, static_cast<int>(i), &header) == nullptr || header.p_type != PT_LOAD) continue;
        if (header.p_offset > file_size || header.p_filesz > file_size - header.p_offset)
            stop(path_ + ": a segment lies outside the file");
        segments_.push_back(
            {header.p_vaddr, file.subspan(header.p_offset, header.p_filesz), header.p_memsz, header.p_flags});
    }
}

void ElfImage::read_symbols() {
    Elf_Scn* section = nullptr;
    while ((section = elf_nextscn(elf_, section)) != nullptr) {
        GElf_Shdr header;
        gelf_getshdr(section, &header);
        if (header.sh_type != SHT_SYMTAB) continue;
        Elf_Data* data = elf_getdata(section, nullptr);
        std::string file;
        for (int i = 1; static_cast<u64>(i) < header.sh_size / header.sh_entsize; ++i) {
            GElf_Sym symbol;
            gelf_getsym(data, i, &symbol);
            const char* name = elf_strptr(elf_, header.sh_link, symbol.st_name);
            unsigned type = GELF_ST_TYPE(symbol.st_info);
            bool local = GELF_ST_BIND(symbol.st_info) == STB_LOCAL;
            if (type == STT_FILE) file = name;
            if (type == STT_FILE || type == STT_SECTION || symbol.st_shndx == SHN_UNDEF || name == nullptr ||
                *name == 0)
                continue;
            symbols_.push_back({name, local ? file : "", symbol.st_value, symbol.st_size, type, local});
            if (!local) globals_[name] = symbol.st_value;
        }
    }
    if (symbols_.empty()) stop(path_ + ": no symbol table");
}

u64 ElfImage::bound(const std::string& name) const {
    auto place = globals_.find(name);
    if (place == globals_.end()) stop(path_ + ": symbol " + name + " is missing");
    return place->second;
}

std::span<const std::byte> ElfImage::bytes(u64 address, u64 size) const {
    for (const Segment& segment : segments_) {
        if (address < segment.address || address - segment.address > segment.bytes.size()) continue;
        u64 at = address - segment.address;
        if (size <= segment.bytes.size() - at) return segment.bytes.subspan(at, size);
    }
    return {};
}

formats::BuildId ElfImage::build_id() const {
    auto found = bytes(bound("__build_id_begin"), formats::kBuildIdSize);
    if (found.empty()) stop(path_ + ": no build-id");
    formats::BuildId id;
    std::memcpy(id.data(), found.data(), id.size());
    return id;
}

}  // namespace graft::tools
