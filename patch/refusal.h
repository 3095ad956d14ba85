// Refusal: why a request to the live-patching core was turned down. Each code stands for one check; after a refusal
// everything is as it was. A refusal carries copies of the names it speaks of, so it outlives the input.
//
// Locking: none; a value. Context: any.
#pragma once

#include <array>
#include <cstring>
#include <string_view>

#include "base/result.h"
#include "base/text.h"
#include "base/types.h"

namespace graft::patch {

// Grouped by what is checked. "where" is what Refusal::where holds.
enum class RefusalCode : u8 {
    // envelope; where: offset in the file
    not_a_patch,  // shorter than an envelope, or no magic at its place: no patch, or cut off
    file_too_large,
    bad_envelope,     // version, reserved bytes or object size
    not_signed,       // and unsigned patches aren't accepted on this way
    unknown_key,      // signed, and no built-in key can check the signature; found: the key id's first 8 bytes
    wrong_signature,  // not made by the key named, or the patch was changed since; subject: the key
    // the object's frame; where: offset in the file
    not_an_object,      // no little-endian relocatable ELF64 object
    wrong_machine,      // for another processor
    bad_section_table,  // section headers or their names don't lie within the object
    too_many_sections,
    no_metadata,  // no section .graft.patch, or more than one
    // metadata; where: offset in the section
    bad_metadata,    // header, a record that reaches past the end, or a wrong count
    unknown_format,  // written for another version of the format
    wrong_build,     // for another image; found and expected: the first 8 bytes of the build-ids, big-endian
    unknown_record,  // a critical record of an unknown kind
    bad_record,      // a payload that isn't what its kind says
    bad_version,     // not one to four numbers with dots between
    bad_text,        // a text of wrong length or with characters that aren't allowed
    repeated_record,
    no_name,
    too_many_functions,
    too_many_references,
    too_many_states,
    unknown_flags,
    // sections; where: index of the section
    bad_section,  // contents outside the object, or a size that can't be
    overlapping_sections,
    bad_alignment,
    bad_section_flags,  // writable and executable, compressed, or flags nobody knows
    tls_section,
    unknown_section,   // takes part in the program, and nobody knows what it means
    no_frames,         // no .eh_frame, or more than one
    bad_init_array,    // size isn't a multiple of a pointer
    loaded_too_large,  // text, data and zeros together
    // symbols; where: index of the symbol
    no_symbols,  // no symbol table, or more than one
    bad_symbol_table,
    too_many_symbols,
    bad_symbol,  // section, place or name out of bounds
    common_symbol,
    tls_symbol,
    duplicate_symbol,  // two global symbols of one name
    redefined_symbol,  // a new global symbol that the image defines already
    // references; where: address in the image
    bad_reference,  // not for an undefined symbol of the object
    repeated_reference,
    unknown_reference,  // the image has no symbol of that name at that address
    // funcs and holds; where: address of the old function
    no_funcs,
    repeated_function,  // one old function named twice
    not_an_entry,       // no function of the image begins there
    wrong_function,     // the function there has another name
    wrong_position,
    no_call_site,           // can't be patched: assembly, or compiled without a site
    on_no_patch_list,       // can't be patched: runs while text is being written
    boot_only,              // can't be changed, held or referred to: only runs while the image boots, and is gone then
    wrong_ranges,           // the function's parts are others
    wrong_bytes,            // where: address of the first byte that differs
    endless,                // contains no return instruction, so nobody would ever leave it
    bad_new_function,       // not a function of the patch
    repeated_new_function,  // serves two old functions
    // states; where: offset in the metadata
    repeated_state,     // one id named twice
    bad_callback,       // not a function of the patch; found: the symbol's index
    callback_replaces,  // a callback that is a new function, too: its call site is changing when it is called
    // relocations; where: offset in the section named
    bad_relocation_table,
    too_many_relocations,
    unknown_relocation,   // a type that the compiler doesn't emit for this code model
    relocation_outside,   // patches bytes outside its section
    unresolved_symbol,    // refers to a symbol without an address
    relocation_overflow,  // the distance doesn't fit; found: the value
    // the patch as it would lie in memory
    bad_frames,       // the unwind table is malformed, claims other code or leaves a function out
    bad_constructor,  // an .init_array entry that isn't a function of the patch
    // what is loaded already
    bad_name,
    name_taken,
    name_lingers,  // by a patch that is out of force, and whose memory isn't free yet
    too_many_patches,
    transition_running,  // one at a time; other: the patch whose transition runs
    canary_running,      // the same, and it is a canary; found: its age in seconds
    callback_running,    // a change's callback hasn't returned yet; other: whose and which
    on_probation,        // the set's patch is; other: that patch
    rollback_due,        // of another patch, which comes first; other: that patch
    function_taken,      // changed or held by another patch; other: that patch
    state_taken,         // its id belongs to a patch of another set; other: that patch
    older_state,         // than what it would replace; other: that patch
    irreversible_state,  // it would be undone, or might have to be; other: the patch that has it
    pre_patch_refused,   // found: what the callback returned
    pre_patch_faulted,
    cancelled,  // taken back before its first call site was live
    downgrade,  // a lower version than its set has had; other: which
    // the machine
    no_memory,
    site_mismatch,  // bytes at a call site are neither the NOP nor what the patcher wrote, as a debugger leaves them
    // requests about a patch
    unknown_patch,
    already_leaving,  // unregistered already
    not_in_transition,
    not_on_probation,
    not_a_canary,   // promoted already, or never one
    canary_turned,  // it is being taken back
};
inline constexpr usize kRefusalCodeCount = static_cast<usize>(RefusalCode::canary_turned) + 1;

// A copied name, cut at its capacity.
template <usize Capacity>
class Label {
public:
    Label() = default;
    Label(std::string_view text) { assign(text); }

    void assign(std::string_view text) {
        size_ = static_cast<u8>(text.size() < Capacity ? text.size() : Capacity);
        if (size_ != 0) std::memcpy(bytes_.data(), text.data(), size_);
    }
    std::string_view view() const { return {bytes_.data(), size_}; }
    bool empty() const { return size_ == 0; }

private:
    static_assert(Capacity <= 255);
    std::array<char, Capacity> bytes_{};
    u8 size_ = 0;
};

inline constexpr usize kMaxLabel = 120;

struct Refusal {
    RefusalCode code = RefusalCode::not_a_patch;
    u64 where = 0;
    u64 found = 0;
    u64 expected = 0;
    Label<kMaxLabel> subject;  // the function, section, symbol or patch it is about
    Label<kMaxLabel> other;    // the patch in the way, or what the machine said
};

template <typename T>
using RefusalResult = Result<T, Refusal>;

inline std::unexpected<Refusal> refuse(RefusalCode code, std::string_view subject = {}, u64 where = 0, u64 found = 0,
                                       u64 expected = 0, std::string_view other = {}) {
    return std::unexpected(Refusal{code, where, found, expected, subject, other});
}

// One lower-case line without its end: what, where, found, expected (names keep their case).
void render(const Refusal& refusal, TextBuffer& out);

// The code's name as in this header, for tables and tests.
std::string_view name_of(RefusalCode code);

}  // namespace graft::patch
