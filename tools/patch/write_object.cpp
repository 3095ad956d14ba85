// The file's parts in order: ELF header, contents of the sections, symbol table, strings, relocations, section names,
// section headers. Nothing depends on anything but the object.
#include <cstring>

#include "base/assert.h"
#include "tools/patch/object.h"

namespace graft::tools {
namespace {

class StringTable {
public:
    u32 add(const std::string& text) {
        if (text.empty()) return 0;
        auto position = static_cast<u32>(bytes_.size());
        bytes_ += text;
        bytes_ += '\0';
        return position;
    }
    const std::string& bytes() const { return bytes_; }

private:
    std::string bytes_ = std::string(1, '\0');
};

class Output {
public:
    void align(u64 alignment) { bytes_.resize(*checked_align_up<u64>(bytes_.size(), alignment)); }
    u64 add(const void* source, usize size) {
        u64 position = bytes_.size();
        auto* first = static_cast<const std::byte*>(source);
        bytes_.insert(bytes_.end(), first, first + size);
        return position;
    }
    void put(u64 position, const void* source, usize size) { std::memcpy(bytes_.data() + position, source, size); }
    std::vector<std::byte> take() { return std::move(bytes_); }

private:
    std::vector<std::byte> bytes_;
};

Elf64_Sym encode(const ObjectSymbol& symbol, StringTable& strings) {
    Elf64_Sym encoded{};
    encoded.st_name = strings.add(symbol.name);
    encoded.st_info = ELF64_ST_INFO(symbol.binding, symbol.type);
    encoded.st_other = symbol.other;
    encoded.st_shndx = static_cast<u16>(symbol.section);
    encoded.st_value = symbol.value;
    encoded.st_size = symbol.size;
    return encoded;
}

class ObjectWriter {
public:
    explicit ObjectWriter(const Object& object) : object_(object) {}

    std::vector<std::byte> write() {
        Elf64_Ehdr blank{};
        output_.add(&blank, sizeof(blank));
        add_sections();
        add_symbols();
        add_relocations();
        add_names_and_headers();
        return output_.take();
    }

private:
    void add_sections() {
        headers_.emplace_back();
        for (usize i = 1; i < object_.sections.size(); ++i) {
            const ObjectSection& section = object_.sections[i];
            Elf64_Shdr header{};
            header.sh_name = section_names_.add(section.name);
            header.sh_type = section.type;
            header.sh_flags = section.flags;
            header.sh_size = section.size;
            header.sh_addralign = section.alignment;
            header.sh_entsize = section.entry_size;
            output_.align(section.alignment);
            header.sh_offset = output_.add(section.contents.data(), section.contents.size());
            headers_.push_back(header);
        }
    }

    // Local symbols must come first [elf, symbol table]; whoever made the object has sorted them.
    void add_symbols() {
        std::vector<Elf64_Sym> symbols;
        StringTable strings;
        u32 first_global = 0;
        for (const ObjectSymbol& symbol : object_.symbols) {
            if (symbol.binding == STB_LOCAL) {
                GRAFT_ASSERT(first_global == symbols.size());
                ++first_global;
            }
            symbols.push_back(encode(symbol, strings));
        }
        symbol_table_ = static_cast<u32>(headers_.size());
        output_.align(8);
        Elf64_Shdr header{};
        header.sh_name = section_names_.add(".symtab");
        header.sh_type = SHT_SYMTAB;
        header.sh_size = symbols.size() * sizeof(Elf64_Sym);
        header.sh_offset = output_.add(symbols.data(), header.sh_size);
        header.sh_link = symbol_table_ + 1;
        header.sh_info = first_global;
        header.sh_addralign = 8;
        header.sh_entsize = sizeof(Elf64_Sym);
        headers_.push_back(header);
        add_strings(".strtab", strings.bytes());
    }

    void add_relocations() {
        for (usize i = 1; i < object_.sections.size(); ++i) {
            const ObjectSection& section = object_.sections[i];
            if (section.relocations.empty()) continue;
            std::vector<Elf64_Rela> entries;
            for (const ObjectRelocation& relocation : section.relocations)
                entries.push_back(
                    {relocation.offset, ELF64_R_INFO(u64{relocation.symbol}, relocation.type), relocation.addend});
            output_.align(8);
            Elf64_Shdr header{};
            header.sh_name = section_names_.add(".rela" + section.name);
            header.sh_type = SHT_RELA;
            header.sh_flags = SHF_INFO_LINK;
            header.sh_size = entries.size() * sizeof(Elf64_Rela);
            header.sh_offset = output_.add(entries.data(), header.sh_size);
            header.sh_link = symbol_table_;
            header.sh_info = static_cast<u32>(i);
            header.sh_addralign = 8;
            header.sh_entsize = sizeof(Elf64_Rela);
            headers_.push_back(header);
        }
    }

    void add_strings(const char* name, const std::string& bytes) {
        Elf64_Shdr header{};
        header.sh_name = section_names_.add(name);
        header.sh_type = SHT_STRTAB;
        header.sh_size = bytes.size();
        header.sh_offset = output_.add(bytes.data(), bytes.size());
        header.sh_addralign = 1;
        headers_.push_back(header);
    }

    void add_names_and_headers() {
        // The table holds its own name: added before its bytes are written.
        u32 own_name = section_names_.add(".shstrtab");
        std::string bytes = section_names_.bytes();
        add_strings("", bytes);
        headers_.back().sh_name = own_name;

        output_.align(8);
        Elf64_Ehdr header{};
        std::memcpy(header.e_ident, ELFMAG, SELFMAG);
        header.e_ident[EI_CLASS] = ELFCLASS64;
        header.e_ident[EI_DATA] = ELFDATA2LSB;
        header.e_ident[EI_VERSION] = EV_CURRENT;
        header.e_type = ET_REL;
        header.e_machine = EM_X86_64;
        header.e_version = EV_CURRENT;
        header.e_ehsize = sizeof(header);
        header.e_shentsize = sizeof(Elf64_Shdr);
        header.e_shnum = static_cast<u16>(headers_.size());
        header.e_shstrndx = static_cast<u16>(headers_.size() - 1);
        header.e_shoff = output_.add(headers_.data(), headers_.size() * sizeof(Elf64_Shdr));
        output_.put(0, &header, sizeof(header));
    }

    const Object& object_;
    Output output_;
    std::vector<Elf64_Shdr> headers_;
    StringTable section_names_;
    u32 symbol_table_ = 0;
};

}  // namespace

std::vector<std::byte> write_object(const Object& object) {
    return ObjectWriter(object).write();
}

}  // namespace graft::tools
