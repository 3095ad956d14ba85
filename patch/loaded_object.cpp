#include "patch/loaded_object.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "patch/destructors.h"
#include "patch/machine_refusal.h"
#include "patch/relocate.h"

namespace graft::patch {

namespace {

// The display names of symbols that are asked for in ascending order.
class DisplayNames {
public:
    // `kept`: the texts one after the other, which outlive the metadata's.
    DisplayNames(const formats::KlpMetadata& metadata, const char* kept) : metadata_(metadata), kept_(kept) {
        advance();
    }

    std::optional<std::string_view> of(u32 symbol) {
        while (name_ && name_->symbol < symbol) advance();
        if (!name_ || name_->symbol != symbol) return std::nullopt;
        return std::string_view(kept_, name_->text.size());
    }

private:
    void advance() {
        if (name_) kept_ += name_->text.size();
        name_ = metadata_.next_display_name(cursor_);
    }

    const formats::KlpMetadata& metadata_;
    const char* kept_;
    usize cursor_ = 0;
    std::optional<formats::KlpDisplayName> name_;
};

}  // namespace

RefusalResult<void> LoadedObject::create(Machine& machine, const Plan& plan, std::string_view patch_name) {
    machine_ = &machine;
    code_.patch_name = patch_name;
    auto create_all = [&]() -> RefusalResult<void> {
        GRAFT_CHECK(reserve(plan));
        GRAFT_CHECK(fill(plan));
        GRAFT_CHECK(list_functions(plan));
        GRAFT_CHECK(check_frames(plan));
        GRAFT_CHECK(list_constructors(plan));
        return publish();
    };
    auto created = create_all();
    if (!created) reset();
    return created;
}

void LoadedObject::reset() {
    if (machine_ == nullptr) return;
    if (registered_) machine_->unregister_code(code_);
    if (memory_.handle != 0) machine_->release_memory(memory_);
    registered_ = false;
    memory_ = {};
    memory_bytes_ = 0;
    code_ = {};
    destructors_ = {};
    names_.reset();
    display_names_.reset();
    symbols_.reset();
    constructors_.reset();
    machine_ = nullptr;
}

RefusalResult<void> LoadedObject::reserve(const Plan& plan) {
    MemoryRequest request{plan.size(Area::text), plan.size(Area::rodata), plan.size(Area::data)};
    auto memory = machine_->reserve(request);
    if (!memory) return std::unexpected(refusal_of(memory.error(), code_.patch_name));
    memory_ = *memory;
    memory_bytes_ = request.text_size + request.rodata_size + request.data_size;
    code_.text = AddressRange::of(memory_.text.begin, request.text_size);
    return {};
}

RefusalResult<void> LoadedObject::fill(const Plan& plan) {
    Relocator relocator(plan, memory_);
    GRAFT_CHECK(relocator.check());

    constexpr int kBreakpoint = 0xcc;  // between functions: whoever runs into it stops there
    if (!memory_.text.empty()) std::memset(memory_.text.begin.as<>(), kBreakpoint, memory_.text.size());
    for (u32 i = 0; i < plan.object().section_count(); ++i) {
        if (plan.section(i).area == Area::none) continue;
        auto contents = plan.object().contents(plan.object().section(i));
        VirtAddr at = relocator.section_address(i);
        if (!contents.empty()) std::memcpy(at.as<>(), contents.data(), contents.size());
    }
    relocator.apply();

    if (plan.frames_section() != 0) {
        auto frames = plan.object().section(plan.frames_section());
        code_.eh_frame = AddressRange::of(relocator.section_address(plan.frames_section()), frames.size);
    }
    if (plan.has_destructors()) {
        destructors_ = memory_.data.begin + plan.destructors_offset();
        new (destructors_.as<>()) DestructorTable{{0}, plan.destructor_capacity(), 0};
    }
    return {};
}

RefusalResult<void> LoadedObject::keep_names(const Plan& plan) {
    auto strings = plan.object().symbol_strings();
    u64 display_size = plan.metadata().display_size();
    if (!names_.create(*machine_, strings.size()) || !display_names_.create(*machine_, display_size))
        return refuse(RefusalCode::no_memory, code_.patch_name);
    if (!strings.empty()) std::memcpy(names_.data(), strings.data(), strings.size());
    char* at = display_names_.data();
    for (usize cursor = 0; auto name = plan.metadata().next_display_name(cursor);) {
        std::memcpy(at, name->text.data(), name->text.size());
        at += name->text.size();
    }
    return {};
}

RefusalResult<void> LoadedObject::list_functions(const Plan& plan) {
    const Object& object = plan.object();
    GRAFT_CHECK(keep_names(plan));

    auto is_function = [&](const elf::Symbol& symbol) {
        bool is_code = symbol.type() == elf::kSymbolFunction && symbol.size != 0;
        return is_code && symbol.section != elf::kSectionUndefined && symbol.section < object.section_count() &&
               plan.section(symbol.section).area == Area::text;
    };
    usize count = 0;
    for (u32 i = 1; i < object.symbol_count(); ++i) count += is_function(object.symbol(i)) ? 1 : 0;
    if (!symbols_.create(*machine_, count)) return refuse(RefusalCode::no_memory, code_.patch_name);

    Relocator relocator(plan, memory_);
    DisplayNames displayed(plan.metadata(), display_names_.data());
    usize next = 0;
    for (u32 i = 1; i < object.symbol_count(); ++i) {
        auto symbol = object.symbol(i);
        if (!is_function(symbol)) continue;
        VirtAddr address = relocator.section_address(symbol.section) + symbol.value;
        std::string_view name(names_.data() + symbol.name, object.symbol_name(symbol).size());
        symbols_[next++] = {address, symbol.size, name, displayed.of(i).value_or(name)};
    }
    std::sort(symbols_.begin(), symbols_.end(),
              [](const CodeSymbol& left, const CodeSymbol& right) { return left.address < right.address; });
    auto* last = std::unique(symbols_.begin(), symbols_.end(), [](const CodeSymbol& left, const CodeSymbol& right) {
        return left.address == right.address;
    });
    symbols_.shrink(static_cast<usize>(last - symbols_.begin()));
    code_.symbols = symbols_.span();
    return {};
}

RefusalResult<void> LoadedObject::check_frames(const Plan&) {
    if (code_.text.empty()) return {};
    std::span<const std::byte> staged(code_.eh_frame.begin.as<const std::byte>(), code_.eh_frame.size());
    auto verified = machine_->verify_frames(staged, code_.eh_frame.begin, code_.text, code_.symbols);
    if (!verified) return std::unexpected(refusal_of(verified.error(), code_.patch_name));
    return {};
}

RefusalResult<void> LoadedObject::list_constructors(const Plan& plan) {
    const Object& object = plan.object();
    auto is_list = [&](u32 index) {
        return plan.section(index).area != Area::none && object.section(index).type == elf::kSectionInitArray;
    };
    usize count = 0;
    for (u32 i = 0; i < object.section_count(); ++i) {
        if (is_list(i)) count += object.section(i).size / sizeof(u64);
    }
    if (!constructors_.create(*machine_, count)) return refuse(RefusalCode::no_memory, code_.patch_name);

    Relocator relocator(plan, memory_);
    usize next = 0;
    for (u32 i = 0; i < object.section_count(); ++i) {
        if (!is_list(i)) continue;
        VirtAddr at = relocator.section_address(i);
        for (u64 offset = 0; offset < object.section(i).size; offset += sizeof(u64)) {
            u64 word;
            std::memcpy(&word, VirtAddr(at + offset).as<>(), sizeof(word));
            VirtAddr function(word);
            auto found =
                std::lower_bound(symbols_.begin(), symbols_.end(), function,
                                 [](const CodeSymbol& symbol, VirtAddr wanted) { return symbol.address < wanted; });
            if (found == symbols_.end() || found->address != function) {
                return refuse(RefusalCode::bad_constructor, code_.patch_name, at.value + offset, word);
            }
            constructors_[next++] = function;
        }
    }
    return {};
}

RefusalResult<void> LoadedObject::publish() {
    auto sealed = machine_->seal(memory_);
    if (!sealed) return std::unexpected(refusal_of(sealed.error(), code_.patch_name));
    if (code_.text.empty()) return {};
    auto registered = machine_->register_code(code_);
    if (!registered) return std::unexpected(refusal_of(registered.error(), code_.patch_name));
    registered_ = true;
    return {};
}

VirtAddr LoadedObject::address_of(const Plan& plan, const PlannedFunc& func) const {
    return Relocator(plan, memory_).section_address(func.section) + func.offset;
}

VirtAddr LoadedObject::address_of(const Plan& plan, const PlannedCallback& callback) const {
    if (callback.section == 0) return {};
    return Relocator(plan, memory_).section_address(callback.section) + callback.offset;
}

bool LoadedObject::contains(VirtAddr address) const {
    return memory_.text.contains(address) || memory_.rodata.contains(address) || memory_.data.contains(address);
}

void LoadedObject::run_constructors() {
    for (VirtAddr constructor : constructors_) machine_->call(constructor, 0);
}

void LoadedObject::run_destructors() {
    if (!destructors_) return;
    auto& table = *destructors_.as<DestructorTable>();
    // Relaxed: whoever registered has left the patch, which the transition's end made known.
    u32 count = std::min(table.count.exchange(0, std::memory_order_relaxed), table.capacity);
    for (u32 i = count; i > 0; --i) {
        auto entry = table.entries()[i - 1];
        machine_->call(VirtAddr(entry.function), entry.object);
    }
}

}  // namespace graft::patch
