#include "tools/graft/probe_guest.h"

#include <elf.h>

#include <cstring>

#include "base/types.h"
#include "tools/graft/qemu.h"

namespace graft::tool {
namespace {

constexpr u64 kLoadAddress = 0x100000;
constexpr u8 kDelayPort = 0x80;  // takes everything and does nothing
constexpr u32 kWrites = 5000;
constexpr u32 kNotePhys32Entry = 18;  // XEN_ELFNOTE_PHYS32_ENTRY: 32-bit physical entry of a direct boot

struct Layout {
    Elf64_Ehdr header;
    Elf64_Phdr load;
    Elf64_Phdr note_segment;
    struct {
        Elf64_Nhdr header;
        char name[4];
        u32 entry;
        u32 padding;
    } note;
    u8 code[24];
};

Elf64_Phdr segment(u32 type, u32 flags, u64 offset, u64 size) {
    Elf64_Phdr result{};
    result.p_type = type;
    result.p_flags = flags;
    result.p_offset = offset;
    result.p_vaddr = result.p_paddr = kLoadAddress + offset;
    result.p_filesz = result.p_memsz = size;
    result.p_align = 4;
    return result;
}

}  // namespace

std::string probe_guest() {
    Layout layout{};
    std::memcpy(layout.header.e_ident, ELFMAG, SELFMAG);
    layout.header.e_ident[EI_CLASS] = ELFCLASS64;
    layout.header.e_ident[EI_DATA] = ELFDATA2LSB;
    layout.header.e_ident[EI_VERSION] = EV_CURRENT;
    layout.header.e_type = ET_EXEC;
    layout.header.e_machine = EM_X86_64;
    layout.header.e_version = EV_CURRENT;
    layout.header.e_entry = kLoadAddress + offsetof(Layout, code);
    layout.header.e_phoff = offsetof(Layout, load);
    layout.header.e_ehsize = sizeof(Elf64_Ehdr);
    layout.header.e_phentsize = sizeof(Elf64_Phdr);
    layout.header.e_phnum = 2;
    layout.load = segment(PT_LOAD, PF_R | PF_X, 0, sizeof(Layout));
    layout.note_segment = segment(PT_NOTE, PF_R, offsetof(Layout, note), sizeof(layout.note));
    layout.note.header = {.n_namesz = 4, .n_descsz = 4, .n_type = kNotePhys32Entry};
    std::memcpy(layout.note.name, "Xen", 4);
    layout.note.entry = kLoadAddress + offsetof(Layout, code);

    const u8 code[] = {
        0xb9,       kWrites & 0xff, kWrites >> 8,
        0,
        0,  // mov $kWrites, %ecx
        0xe6,
        kDelayPort,  // again: out %al, $kDelayPort
        0xe2,
        0xfc,  // loop again
        0xb8,       kGuestSuccess,  0,
        0,
        0,  // mov $kGuestSuccess, %eax
        0xe7,
        0xf4,  // out %eax, $0xf4
        0xf4,       0xeb,
        0xfd,  // hlt; jmp to the hlt
    };
    static_assert(sizeof(code) <= sizeof(layout.code));
    std::memcpy(layout.code, code, sizeof(code));
    return {reinterpret_cast<const char*>(&layout), sizeof(layout)};
}

}  // namespace graft::tool
