#include "arch/x86_64/pure/cfi.h"

#include <limits>
#include <optional>

#include "arch/x86_64/pure/leb128.h"
#include "base/reader.h"

namespace graft::arch {

namespace {

// Call-frame operations [dwarf §7.24]. The first three carry their operand in the low six bits.
constexpr u8 kPrimaryMask = 0xc0;
constexpr u8 kAdvanceLoc = 0x40;
constexpr u8 kOffset = 0x80;
constexpr u8 kRestore = 0xc0;

enum class Operation : u8 {
    nop = 0x00,
    advance_loc1 = 0x02,
    advance_loc2 = 0x03,
    advance_loc4 = 0x04,
    offset_extended = 0x05,
    restore_extended = 0x06,
    undefined = 0x07,
    same_value = 0x08,
    in_register = 0x09,
    remember_state = 0x0a,
    restore_state = 0x0b,
    def_cfa = 0x0c,
    def_cfa_register = 0x0d,
    def_cfa_offset = 0x0e,
    def_cfa_expression = 0x0f,
    expression = 0x10,
    offset_extended_sf = 0x11,
    def_cfa_sf = 0x12,
    def_cfa_offset_sf = 0x13,
    val_offset = 0x14,
    val_offset_sf = 0x15,
    gnu_args_size = 0x2e,  // of interest to exceptions only
};

// Expression operations [dwarf §7.7.1].
constexpr u8 kBreg0 = 0x70;
constexpr u8 kBregCount = 32;
constexpr u8 kDeref = 0x06;

constexpr u32 kGeneralRegisters = 17;  // rax … r15 and rip [psABI §3.6.2, figure 3.36]

// A register of the machine: carried, or checked and dropped.
struct RegisterNumber {
    std::optional<Register> carried;
};

std::optional<Register> carried_register(u32 number) {
    switch (number) {
        case 3:
            return Register::rbx;
        case 6:
            return Register::rbp;
        case 7:
            return Register::rsp;
        case 10:
            return Register::r10;
        case 12:
            return Register::r12;
        case 13:
            return Register::r13;
        case 14:
            return Register::r14;
        case 15:
            return Register::r15;
        case 16:
            return Register::rip;
        default:
            return std::nullopt;
    }
}

using Step = Result<void, FrameError>;

class Interpreter {
public:
    // Rows are followed up to the one that holds at `target`, an offset in the function.
    Interpreter(const FdeView& fde, u64 target, bool demands_return)
        : fde_(fde), target_(target), demands_return_(demands_return), reader_({}) {}

    Step run();
    const Row& row() const { return row_; }

private:
    Step run_program(std::span<const std::byte> program, u32 offset);
    Step execute(u8 byte);
    Step execute_extended(u8 byte);
    Step advance(u64 delta);
    Step remember();
    Step restore_remembered();
    Step restore_initial(RegisterNumber number);
    Step define_cfa(i64 factor, bool is_signed);
    Step define_cfa_offset(i64 factor, bool is_signed);
    Step define_cfa_register();
    Step define_cfa_expression();
    Step set_rule(SaveRule::Kind kind);
    Step set_offset_rule(RegisterNumber number, SaveRule::Kind kind, bool is_signed);
    Step set_register_rule();
    Step set_expression_rule();

    Result<RegisterNumber, FrameError> take_register();
    Result<RegisterNumber, FrameError> to_register(u32 number) const;
    Result<Register, FrameError> take_base();
    Result<Register, FrameError> to_base(RegisterNumber number) const;
    // An operand times `factor`, within 32 bits.
    Result<i32, FrameError> take_offset(i64 factor, bool is_signed);
    Result<CfaRule, FrameError> take_expression();

    void store(RegisterNumber number, SaveRule rule) {
        if (number.carried) row_.mention(*number.carried, rule);
    }
    u32 here() const { return program_offset_ + static_cast<u32>(reader_.position()); }
    std::unexpected<FrameError> error(FrameFault fault, u64 expected, u64 found) const {
        return std::unexpected(FrameError{fault, operation_offset_, expected, found});
    }
    Step check_read() const {
        if (!reader_.ok()) return error(FrameFault::truncated, 1, 0);
        return {};
    }
    Step check_row() const {
        if (row_.cfa.kind == CfaRule::Kind::none) return error(FrameFault::no_cfa, 1, 0);
        if (!demands_return_) return {};
        const SaveRule& rip = row_.rule(Register::rip);
        bool returns = rip.kind == SaveRule::Kind::at_cfa && rip.offset == kReturnOffset &&
                       row_.rule(Register::rsp).kind == SaveRule::Kind::unspecified;
        if (!returns)
            return error(FrameFault::no_return_address, static_cast<u64>(i64{kReturnOffset}),
                         static_cast<u64>(i64{rip.offset}));
        return {};
    }

    const FdeView& fde_;
    u64 target_;
    bool demands_return_;
    u64 location_ = 0;
    bool in_common_ = false;
    bool done_ = false;
    u32 program_offset_ = 0;
    u32 operation_offset_ = 0;
    Reader reader_;
    Row row_;
    Row initial_;
    std::array<Row, kMaxRemembered> remembered_;
    usize depth_ = 0;
};

Step Interpreter::run() {
    in_common_ = true;
    GRAFT_CHECK(run_program(fde_.common_program, fde_.common_offset));
    in_common_ = false;
    initial_ = row_;
    GRAFT_CHECK(run_program(fde_.program, fde_.program_offset));
    return check_row();
}

Step Interpreter::run_program(std::span<const std::byte> program, u32 offset) {
    reader_ = Reader(program);
    program_offset_ = offset;
    while (!reader_.at_end() && !done_) {
        operation_offset_ = here();
        GRAFT_CHECK(execute(reader_.read<u8>()));
        GRAFT_CHECK(check_read());
    }
    return {};
}

Step Interpreter::execute(u8 byte) {
    u8 operand = byte & static_cast<u8>(~kPrimaryMask);
    switch (byte & kPrimaryMask) {
        case kAdvanceLoc:
            return advance(operand);
        case kOffset:
            return set_offset_rule(GRAFT_TRY(to_register(operand)), SaveRule::Kind::at_cfa, false);
        case kRestore:
            return restore_initial(GRAFT_TRY(to_register(operand)));
        default:
            return execute_extended(byte);
    }
}

Step Interpreter::execute_extended(u8 byte) {
    switch (static_cast<Operation>(byte)) {
        case Operation::nop:
            return {};
        case Operation::advance_loc1:
            return advance(reader_.read<u8>());
        case Operation::advance_loc2:
            return advance(reader_.read<u16>());
        case Operation::advance_loc4:
            return advance(reader_.read<u32>());
        case Operation::offset_extended:
            return set_offset_rule(GRAFT_TRY(take_register()), SaveRule::Kind::at_cfa, false);
        case Operation::offset_extended_sf:
            return set_offset_rule(GRAFT_TRY(take_register()), SaveRule::Kind::at_cfa, true);
        case Operation::val_offset:
            return set_offset_rule(GRAFT_TRY(take_register()), SaveRule::Kind::cfa_sum, false);
        case Operation::val_offset_sf:
            return set_offset_rule(GRAFT_TRY(take_register()), SaveRule::Kind::cfa_sum, true);
        case Operation::restore_extended:
            return restore_initial(GRAFT_TRY(take_register()));
        case Operation::undefined:
            return set_rule(SaveRule::Kind::undefined);
        case Operation::same_value:
            return set_rule(SaveRule::Kind::same_value);
        case Operation::in_register:
            return set_register_rule();
        case Operation::remember_state:
            return remember();
        case Operation::restore_state:
            return restore_remembered();
        case Operation::def_cfa:
            return define_cfa(1, false);
        case Operation::def_cfa_sf:
            return define_cfa(fde_.data_alignment, true);
        case Operation::def_cfa_register:
            return define_cfa_register();
        case Operation::def_cfa_offset:
            return define_cfa_offset(1, false);
        case Operation::def_cfa_offset_sf:
            return define_cfa_offset(fde_.data_alignment, true);
        case Operation::def_cfa_expression:
            return define_cfa_expression();
        case Operation::expression:
            return set_expression_rule();
        case Operation::gnu_args_size:
            (void)GRAFT_TRY(take_offset(1, false));
            return {};
    }
    return error(FrameFault::unknown_operation, 0, byte);
}

// The row as it stands holds up to the new location.
Step Interpreter::advance(u64 delta) {
    GRAFT_CHECK(check_read());
    // The common part describes every function's first row: it has no locations.
    if (in_common_) return error(FrameFault::row_outside_function, 0, delta);
    location_ += delta * fde_.code_alignment;
    if (location_ > fde_.range.size()) return error(FrameFault::row_outside_function, fde_.range.size(), location_);
    if (delta != 0) GRAFT_CHECK(check_row());
    if (location_ > target_) done_ = true;
    return {};
}

Step Interpreter::remember() {
    if (depth_ == kMaxRemembered) return error(FrameFault::unbalanced_state, kMaxRemembered, depth_ + 1);
    remembered_[depth_++] = row_;
    return {};
}

Step Interpreter::restore_remembered() {
    if (depth_ == 0) return error(FrameFault::unbalanced_state, 1, 0);
    row_ = remembered_[--depth_];
    return {};
}

Step Interpreter::restore_initial(RegisterNumber number) {
    if (in_common_) return error(FrameFault::unknown_operation, 0, kRestore);
    if (number.carried) row_.mention(*number.carried, initial_.rule(*number.carried));
    return {};
}

Step Interpreter::define_cfa(i64 factor, bool is_signed) {
    Register base = GRAFT_TRY(take_base());
    row_.cfa = {CfaRule::Kind::sum, base, GRAFT_TRY(take_offset(factor, is_signed))};
    return {};
}

Step Interpreter::define_cfa_offset(i64 factor, bool is_signed) {
    i32 offset = GRAFT_TRY(take_offset(factor, is_signed));
    if (row_.cfa.kind != CfaRule::Kind::sum) return error(FrameFault::no_cfa, 1, 0);
    row_.cfa.offset = offset;
    return {};
}

Step Interpreter::define_cfa_register() {
    Register base = GRAFT_TRY(take_base());
    if (row_.cfa.kind != CfaRule::Kind::sum) return error(FrameFault::no_cfa, 1, 0);
    row_.cfa.base = base;
    return {};
}

Step Interpreter::define_cfa_expression() {
    row_.cfa = GRAFT_TRY(take_expression());
    return {};
}

Step Interpreter::set_rule(SaveRule::Kind kind) {
    store(GRAFT_TRY(take_register()), {.kind = kind});
    return {};
}

Step Interpreter::set_offset_rule(RegisterNumber number, SaveRule::Kind kind, bool is_signed) {
    i32 offset = GRAFT_TRY(take_offset(fde_.data_alignment, is_signed));
    store(number, {.kind = kind, .offset = offset});
    return {};
}

Step Interpreter::set_register_rule() {
    RegisterNumber number = GRAFT_TRY(take_register());
    RegisterNumber source = GRAFT_TRY(take_register());
    // A source that isn't carried has a value that isn't known.
    if (!source.carried) {
        store(number, {.kind = SaveRule::Kind::undefined});
        return {};
    }
    store(number, {.kind = SaveRule::Kind::in_register, .base = *source.carried});
    return {};
}

Step Interpreter::set_expression_rule() {
    RegisterNumber number = GRAFT_TRY(take_register());
    CfaRule place = GRAFT_TRY(take_expression());
    if (place.kind != CfaRule::Kind::sum) return error(FrameFault::unsupported_expression, kBreg0, kDeref);
    store(number, {.kind = SaveRule::Kind::at_register_sum, .base = place.base, .offset = place.offset});
    return {};
}

Result<RegisterNumber, FrameError> Interpreter::to_register(u32 number) const {
    if (number >= kGeneralRegisters) return error(FrameFault::unknown_register, kGeneralRegisters - 1, number);
    return RegisterNumber{carried_register(number)};
}

Result<RegisterNumber, FrameError> Interpreter::take_register() {
    auto number = read_uleb(reader_);
    if (!number) return error(FrameFault::truncated, 1, 0);
    return to_register(*number);
}

// A frame address can be computed only from a carried register, and rip is none to compute with.
Result<Register, FrameError> Interpreter::to_base(RegisterNumber number) const {
    if (!number.carried || *number.carried == Register::rip) return error(FrameFault::unknown_register, 0, 0);
    return *number.carried;
}

Result<Register, FrameError> Interpreter::take_base() {
    return to_base(GRAFT_TRY(take_register()));
}

Result<i32, FrameError> Interpreter::take_offset(i64 factor, bool is_signed) {
    i64 value = 0;
    if (is_signed) {
        auto number = read_sleb(reader_);
        if (!number) return error(FrameFault::number_out_of_range, 0, 0);
        value = *number;
    } else {
        auto number = read_uleb(reader_);
        if (!number) return error(FrameFault::number_out_of_range, 0, 0);
        value = *number;
    }
    value *= factor;
    if (value < std::numeric_limits<i32>::min() || value > std::numeric_limits<i32>::max())
        return error(FrameFault::number_out_of_range, std::numeric_limits<i32>::max(), static_cast<u64>(value));
    return static_cast<i32>(value);
}

Result<CfaRule, FrameError> Interpreter::take_expression() {
    auto size = read_uleb(reader_);
    auto bytes = size ? reader_.take(*size) : std::span<const std::byte>();
    if (!size || !reader_.ok()) return error(FrameFault::truncated, size ? *size : 1, reader_.remaining());
    Reader expression(bytes);
    u8 operation = expression.read<u8>();
    if (operation < kBreg0 || operation >= kBreg0 + kBregCount)
        return error(FrameFault::unsupported_expression, kBreg0, operation);
    Register base = GRAFT_TRY(to_base(GRAFT_TRY(to_register(operation - kBreg0))));
    auto offset = read_sleb(expression);
    if (!offset) return error(FrameFault::number_out_of_range, 0, 0);
    if (expression.at_end()) return CfaRule{CfaRule::Kind::sum, base, *offset};
    u8 last = expression.read<u8>();
    if (last != kDeref || !expression.at_end()) return error(FrameFault::unsupported_expression, kDeref, last);
    return CfaRule{CfaRule::Kind::word_at_sum, base, *offset};
}

}  // namespace

Result<Row, FrameError> find_row(const FdeView& fde, VirtAddr pc) {
    Interpreter interpreter(fde, pc - fde.range.begin, false);
    GRAFT_CHECK(interpreter.run());
    return interpreter.row();
}

Result<void, FrameError> check_program(const FdeView& fde, TableOwner owner) {
    Interpreter interpreter(fde, fde.range.size(), owner == TableOwner::patch);
    return interpreter.run();
}

}  // namespace graft::arch
