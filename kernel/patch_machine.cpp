#include "kernel/patch_machine.h"

#include <algorithm>

#include "arch/x86_64/clock.h"
#include "arch/x86_64/pure/eh_frame.h"
#include "kernel/call_site_table.h"
#include "kernel/code_map.h"
#include "kernel/dead_stack.h"
#include "kernel/image.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/patch_callbacks.h"
#include "kernel/patch_memory.h"
#include "kernel/patch_worker.h"
#include "kernel/shadow.h"
#include "kernel/trust.h"

namespace graft::kernel {

namespace {

patch::Patchability patchability_of(const formats::ImageSymbol& symbol) {
    if (symbol.has(formats::kSymbolNoPatch)) return patch::Patchability::no_patch;
    if (!symbol.has(formats::kSymbolHasSite)) return patch::Patchability::no_call_site;
    return patch::Patchability::patchable;
}

bool is_named(const formats::ImageSymbol& symbol) {
    return symbol.type == formats::SymbolType::function || symbol.type == formats::SymbolType::object;
}

// Calls use(symbol) for each symbol of that name until it returns true; whether it did.
template <typename Use>
bool any_of_name(std::string_view name, Use&& use) {
    const formats::ImageTables& tables = image_tables();
    auto matches = tables.find_name(name);
    for (u32 i = 0; i < matches.count; ++i) {
        if (use(tables.symbol(tables.name_order(matches.first + i)))) return true;
    }
    return false;
}

patch::MachineError bad_frames(const arch::FrameError& error, VirtAddr at) {
    return {patch::MachineFailure::bad_frames, at + error.offset, error.found, error.expected,
            arch::name_of(error.fault)};
}

patch::MachineError no_records(std::string_view what) {
    return {patch::MachineFailure::no_memory, {}, 0, 0, what};
}

patch::MachineResult<void> check_frames(arch::FrameTable table, AddressRange text,
                                        std::span<const patch::CodeSymbol> functions,
                                        std::span<arch::FrameIndexEntry> index) {
    const AddressRange allowed[] = {text};
    auto filled = arch::verify_frames(table, allowed, arch::TableOwner::patch, index);
    if (!filled) return fail(bad_frames(filled.error(), table.at));
    for (const patch::CodeSymbol& function : functions) {
        auto covered = arch::check_covered(index.first(*filled), AddressRange::of(function.address, function.size));
        if (covered) continue;
        return fail(patch::MachineError{patch::MachineFailure::bad_frames, function.address, covered.error().found,
                                        covered.error().expected, arch::name_of(covered.error().fault)});
    }
    return {};
}

}  // namespace

void PatchMachine::lock() {
    mutex_.lock();
}
void PatchMachine::unlock() {
    mutex_.unlock();
    clear_dead_stack(kLargestStackSize);
}

void* PatchMachine::allocate(usize size, usize alignment) {
    return records_allocate(size, alignment < 16 ? 16 : alignment);
}
void PatchMachine::release(void* memory, usize) {
    records_release(memory);
}

const patch::BuildId& PatchMachine::build_id() const {
    return image_tables().build_id();
}
AddressRange PatchMachine::image() const {
    return image_range(ImageSection::whole);
}

std::optional<patch::FunctionInfo> PatchMachine::function_at(VirtAddr entry) const {
    const formats::ImageTables& tables = image_tables();
    auto index = tables.function_at_entry(entry);
    if (!index) return std::nullopt;
    formats::ImageSymbol symbol = tables.symbol(*index);
    patch::FunctionInfo info;
    info.entry = entry;
    info.name = tables.name(symbol);
    info.position = symbol.position;
    info.patchability = patchability_of(symbol);
    info.has_return = symbol.has(formats::kSymbolHasReturn);
    info.ranges[info.range_count++] = tables.range(symbol);
    for (auto part = tables.next_part(*index, *index); part; part = tables.next_part(*index, *part)) {
        // A function in more pieces than fit can't be watched as a whole.
        if (info.range_count == info.ranges.size()) {
            info.patchability = patch::Patchability::no_patch;
            break;
        }
        info.ranges[info.range_count++] = tables.range(tables.symbol(*part));
    }
    std::ranges::sort(info.ranges.begin(), info.ranges.begin() + info.range_count, {}, &AddressRange::begin);
    return info;
}

bool PatchMachine::has_symbol(std::string_view name, VirtAddr address) const {
    // Places that the linker script names count: a patched function refers to them like any other.
    return any_of_name(name,
                       [&](const formats::ImageSymbol& symbol) { return image_tables().address(symbol) == address; });
}

std::optional<VirtAddr> PatchMachine::find_global(std::string_view name) const {
    std::optional<VirtAddr> found;
    any_of_name(name, [&](const formats::ImageSymbol& symbol) {
        if (!is_named(symbol) || symbol.has(formats::kSymbolLocal)) return false;
        found = image_tables().address(symbol);
        return true;
    });
    return found;
}

bool PatchMachine::is_init_text(VirtAddr entry) const {
    auto index = image_tables().function_at_entry(entry);
    return index && image_tables().symbol(*index).has(formats::kSymbolInitText);
}

bool PatchMachine::read_image(VirtAddr address, std::span<std::byte> bytes) const {
    return read_pristine_image(address, bytes);
}

std::span<const formats::TrustedKey> PatchMachine::trusted_keys() const {
    return kernel::trusted_keys();
}
bool PatchMachine::accepts_unsigned(patch::Source source) const {
    return source == patch::Source::serial && accepts_unsigned_on_serial();
}

patch::MachineResult<patch::PatchMemory> PatchMachine::reserve(const patch::MemoryRequest& request) {
    return reserve_patch_memory(request);
}
patch::MachineResult<void> PatchMachine::seal(const patch::PatchMemory& memory) {
    return seal_patch_memory(memory);
}
void PatchMachine::release_memory(const patch::PatchMemory& memory) {
    release_patch_memory(memory);
}

patch::MachineResult<void> PatchMachine::verify_frames(std::span<const std::byte> staged, VirtAddr at,
                                                       AddressRange text,
                                                       std::span<const patch::CodeSymbol> functions) const {
    arch::FrameTable table{staged, at};
    auto count = arch::count_functions(table);
    if (!count) return fail(bad_frames(count.error(), at));
    usize room = *count == 0 ? 1 : *count;
    void* memory = records_allocate(room * sizeof(arch::FrameIndexEntry), 16);
    if (!memory) return fail(no_records("an index of the patch's frames"));
    auto checked = check_frames(table, text, functions, {static_cast<arch::FrameIndexEntry*>(memory), *count});
    records_release(memory);
    return checked;
}

patch::MachineResult<void> PatchMachine::register_code(const patch::PatchCode& code) {
    if (!add_patch_code(code)) return fail(no_records("a record of the patch's code"));
    return {};
}
void PatchMachine::unregister_code(const patch::PatchCode& code) {
    remove_code(code.text);
}

void PatchMachine::call(VirtAddr function, u64 argument) {
    function.as<void(u64)>()(argument);
}

void PatchMachine::watch_faults(AddressRange text, bool is_watched) {
    watch_code(text, is_watched);
}

void PatchMachine::start_callback(const patch::CallbackCall& call) {
    kernel::start_callback(call);
}
std::optional<patch::CallbackEnd> PatchMachine::callback_end() {
    return kernel::callback_end();
}
usize PatchMachine::count_shadow(u64 state) {
    return shadow_store().count(state);
}

u64 PatchMachine::now_ns() const {
    return arch::now_ns();
}
void PatchMachine::set_alarm(u64 at_ns) {
    static_assert(patch::kNoAlarm == kNever);
    set_patch_alarm(at_ns);
}
void PatchMachine::log(patch::LogLevel level, std::string_view text) {
    kernel::log(level, text);
}
void PatchMachine::history_grew() {
    note_history();
}

}  // namespace graft::kernel
