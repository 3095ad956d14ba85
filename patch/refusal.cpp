#include "patch/refusal.h"

namespace graft::patch {

namespace {

// What `where` and the two values mean for a code; `none` isn't shown.
enum class Where : u8 { none, file, metadata, section, symbol, address, offset };
enum class Values : u8 { none, found, both, found_hex, both_hex, age };

struct Wording {
    RefusalCode code;
    std::string_view name;
    std::string_view text;
    Where where;
    Values values;
};

#define GRAFT_WORDING(code, text, where, values)                     \
    Wording {                                                        \
        RefusalCode::code, #code, text, Where::where, Values::values \
    }

constexpr Wording kWordings[] = {
    GRAFT_WORDING(not_a_patch, "not a patch, or a truncated one: no envelope at its end", file, none),
    GRAFT_WORDING(file_too_large, "the file is too large", none, both),
    GRAFT_WORDING(bad_envelope, "the envelope is malformed", file, both),
    GRAFT_WORDING(not_signed, "not signed, and unsigned patches aren't accepted on this way", none, none),
    GRAFT_WORDING(unknown_key, "signed with a key that this image doesn't have", file, found_hex),
    GRAFT_WORDING(wrong_signature, "the signature is wrong: another key's, or the patch was changed", file, none),
    GRAFT_WORDING(not_an_object, "not a relocatable little-endian elf64 object", file, both_hex),
    GRAFT_WORDING(wrong_machine, "made for another machine", file, both),
    GRAFT_WORDING(bad_section_table, "the section table is malformed", file, both),
    GRAFT_WORDING(too_many_sections, "too many sections", none, both),
    GRAFT_WORDING(no_metadata, "there must be exactly one section .graft.patch", none, both),
    GRAFT_WORDING(bad_metadata, "the metadata is malformed", metadata, both),
    GRAFT_WORDING(unknown_format, "written in another version of the format", metadata, both),
    GRAFT_WORDING(wrong_build, "made for another image: the build-id differs", none, both_hex),
    GRAFT_WORDING(unknown_record, "a critical metadata record of an unknown kind", metadata, found),
    GRAFT_WORDING(bad_record, "a malformed metadata record", metadata, found),
    GRAFT_WORDING(bad_version, "the version isn't one to four numbers with dots between", metadata, none),
    GRAFT_WORDING(bad_text, "a metadata text of wrong length or with forbidden characters", metadata, found),
    GRAFT_WORDING(repeated_record, "a metadata record occurs twice", metadata, found),
    GRAFT_WORDING(no_name, "the metadata names no patch", none, none),
    GRAFT_WORDING(too_many_functions, "too many functions", metadata, both),
    GRAFT_WORDING(too_many_references, "too many references", metadata, both),
    GRAFT_WORDING(too_many_states, "too many states", metadata, both),
    GRAFT_WORDING(unknown_flags, "unknown metadata flags", metadata, found_hex),
    GRAFT_WORDING(bad_section, "a section's contents don't lie within the object", section, both),
    GRAFT_WORDING(overlapping_sections, "sections overlap", section, both),
    GRAFT_WORDING(bad_alignment, "a section's alignment isn't a power of two up to 4096", section, found),
    GRAFT_WORDING(bad_section_flags, "a section has flags that can't be", section, found_hex),
    GRAFT_WORDING(tls_section, "thread-local data can't be patched in", section, none),
    GRAFT_WORDING(unknown_section, "a section of unknown meaning", section, found_hex),
    GRAFT_WORDING(no_frames, "there must be exactly one section .eh_frame", none, both),
    GRAFT_WORDING(bad_init_array, "the size of .init_array isn't a multiple of 8", section, found),
    GRAFT_WORDING(loaded_too_large, "the patch takes too much memory", none, both),
    GRAFT_WORDING(no_symbols, "there must be exactly one symbol table", none, both),
    GRAFT_WORDING(bad_symbol_table, "the symbol table is malformed", section, both),
    GRAFT_WORDING(too_many_symbols, "too many symbols", none, both),
    GRAFT_WORDING(bad_symbol, "a malformed symbol", symbol, both),
    GRAFT_WORDING(common_symbol, "a common symbol", symbol, none),
    GRAFT_WORDING(tls_symbol, "a thread-local symbol", symbol, none),
    GRAFT_WORDING(duplicate_symbol, "a global symbol is defined twice", symbol, none),
    GRAFT_WORDING(redefined_symbol, "a new global symbol has a name that the image uses", symbol, none),
    GRAFT_WORDING(bad_reference, "a reference for a symbol that isn't undefined", address, found),
    GRAFT_WORDING(repeated_reference, "two references for one symbol", address, found),
    GRAFT_WORDING(unknown_reference, "the image has no such symbol there", address, none),
    GRAFT_WORDING(no_funcs, "the patch replaces nothing", none, none),
    GRAFT_WORDING(repeated_function, "a function is named twice", address, none),
    GRAFT_WORDING(not_an_entry, "no function of the image begins there", address, none),
    GRAFT_WORDING(wrong_function, "the function there has another name", address, none),
    GRAFT_WORDING(wrong_position, "the function has another position", address, both),
    GRAFT_WORDING(no_call_site, "the function can't be patched: no call site", address, none),
    GRAFT_WORDING(on_no_patch_list, "the function can't be patched: on the no-patch list", address, none),
    GRAFT_WORDING(boot_only, "the function only runs while the image boots, and is gone", address, none),
    GRAFT_WORDING(wrong_ranges, "the function has other parts", address, both_hex),
    GRAFT_WORDING(wrong_bytes, "the image has other bytes", address, both_hex),
    GRAFT_WORDING(endless, "the function never returns, so nobody would leave it", address, none),
    GRAFT_WORDING(bad_new_function, "the new function isn't a function of the patch", address, found),
    GRAFT_WORDING(repeated_new_function, "one new function for two old ones", address, found),
    GRAFT_WORDING(repeated_state, "two states have one id", metadata, found),
    GRAFT_WORDING(bad_callback, "a callback isn't a function of the patch", metadata, found),
    GRAFT_WORDING(callback_replaces, "a callback must not replace a function", metadata, none),
    GRAFT_WORDING(bad_relocation_table, "a relocation table is malformed", section, both),
    GRAFT_WORDING(too_many_relocations, "too many relocations", none, both),
    GRAFT_WORDING(unknown_relocation, "a relocation of an unsupported type", offset, found),
    GRAFT_WORDING(relocation_outside, "a relocation outside its section", offset, both),
    GRAFT_WORDING(unresolved_symbol, "a relocation against a symbol without an address", offset, none),
    GRAFT_WORDING(relocation_overflow, "a relocation doesn't reach its target", offset, found_hex),
    GRAFT_WORDING(bad_frames, "the unwind table is wrong", address, both_hex),
    GRAFT_WORDING(bad_constructor, "an entry of .init_array isn't a function of the patch", address, found_hex),
    GRAFT_WORDING(bad_name, "not a name for a patch", none, none),
    GRAFT_WORDING(name_taken, "a patch of that name exists already", none, none),
    GRAFT_WORDING(name_lingers, "a patch of that name lingers, its memory isn't free yet: see /lingering", none, none),
    GRAFT_WORDING(too_many_patches, "too many patches", none, both),
    GRAFT_WORDING(transition_running, "a transition is running", none, none),
    GRAFT_WORDING(canary_running, "a canary is to be promoted or reversed first", none, age),
    GRAFT_WORDING(callback_running, "a callback is running", none, none),
    GRAFT_WORDING(on_probation, "the set has a patch on probation: commit it or roll it back first", none, none),
    GRAFT_WORDING(rollback_due, "a patch is about to be rolled back", none, none),
    GRAFT_WORDING(function_taken, "the function belongs to another patch", address, none),
    GRAFT_WORDING(state_taken, "the state belongs to a patch of another set", none, none),
    GRAFT_WORDING(older_state, "the state is there in a later version", none, both),
    GRAFT_WORDING(irreversible_state, "the state can't be undone", none, none),
    GRAFT_WORDING(pre_patch_refused, "its pre_patch callback refused", none, found),
    GRAFT_WORDING(pre_patch_faulted, "its pre_patch callback ended in a fault", none, none),
    GRAFT_WORDING(cancelled, "taken back before it had begun", none, none),
    GRAFT_WORDING(downgrade, "a lower version than the set has had", none, none),
    GRAFT_WORDING(no_memory, "out of memory", none, none),
    GRAFT_WORDING(site_mismatch, "unexpected bytes at a call site", address, both_hex),
    GRAFT_WORDING(unknown_patch, "no such patch", none, none),
    GRAFT_WORDING(already_leaving, "the patch is being unloaded already", none, none),
    GRAFT_WORDING(not_in_transition, "the patch isn't in a transition", none, none),
    GRAFT_WORDING(not_on_probation, "the patch isn't on probation", none, none),
    GRAFT_WORDING(not_a_canary, "the patch isn't a canary", none, none),
    GRAFT_WORDING(canary_turned, "the canary is being taken back", none, none),
};
#undef GRAFT_WORDING

constexpr bool in_order() {
    for (usize i = 0; i < kRefusalCodeCount; ++i) {
        if (kWordings[i].code != static_cast<RefusalCode>(i)) return false;
    }
    return true;
}
static_assert(std::size(kWordings) == kRefusalCodeCount && in_order(), "one wording a code, in order");

void render_where(Where where, u64 value, TextBuffer& out) {
    switch (where) {
        case Where::none:
            return;
        case Where::file:
            out.append(", at offset ", value, " of the file");
            return;
        case Where::metadata:
            out.append(", at offset ", value, " of .graft.patch");
            return;
        case Where::section:
            out.append(", section ", value);
            return;
        case Where::symbol:
            out.append(", symbol ", value);
            return;
        case Where::address:
            out.append(", at ", hex(value));
            return;
        case Where::offset:
            out.append(", at offset ", hex(value));
            return;
    }
}

void render_values(Values values, const Refusal& refusal, TextBuffer& out) {
    switch (values) {
        case Values::none:
            return;
        case Values::found:
            out.append(": found ", refusal.found);
            return;
        case Values::both:
            out.append(": found ", refusal.found, ", expected ", refusal.expected);
            return;
        case Values::found_hex:
            out.append(": found ", hex(refusal.found));
            return;
        case Values::both_hex:
            out.append(": found ", hex(refusal.found), ", expected ", hex(refusal.expected));
            return;
        case Values::age:
            out.append(", ", refusal.found, " s old");
            return;
    }
}

}  // namespace

void render(const Refusal& refusal, TextBuffer& out) {
    const Wording& wording = kWordings[static_cast<usize>(refusal.code)];
    if (!refusal.subject.empty()) out.append(refusal.subject.view(), ": ");
    out.append(wording.text);
    if (!refusal.other.empty()) out.append(" (", refusal.other.view(), ")");
    render_where(wording.where, refusal.where, out);
    render_values(wording.values, refusal, out);
}

std::string_view name_of(RefusalCode code) {
    return kWordings[static_cast<usize>(code)].name;
}

}  // namespace graft::patch
