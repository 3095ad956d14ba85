// Builds .eh_frame bytes by hand, so that each test breaks exactly one thing.
#pragma once

#include <cstring>
#include <string_view>
#include <vector>

#include "arch/x86_64/pure/eh_frame.h"

namespace graft::arch {

class FrameBuilder {
public:
    explicit FrameBuilder(VirtAddr at) : at_(at) {}

    // What GCC emits: the frame address is rsp + 8, the return address lies below it.
    static std::vector<u8> standard_program() { return {0x0c, 7, 8, 0x90, 1}; }

    struct CieOptions {
        u8 version = 1;
        std::string_view augmentation = "zR";
        u8 encoding = 0x1b;  // relative to its place, 4 bytes, signed
        u8 code_alignment = 1;
        u8 data_alignment = 0x78;  // -8
        u8 return_column = 16;
        u8 augmentation_size = 1;
        std::vector<u8> program = standard_program();
    };

    // The CIE's offset.
    u32 cie(const CieOptions& options) {
        encoding_ = options.encoding;
        has_augmentation_data_ = !options.augmentation.empty();
        std::vector<u8> body;
        put(body, u32{0});
        body.push_back(options.version);
        body.insert(body.end(), options.augmentation.begin(), options.augmentation.end());
        body.push_back(0);
        body.insert(body.end(), {options.code_alignment, options.data_alignment, options.return_column});
        if (has_augmentation_data_) body.insert(body.end(), {options.augmentation_size, options.encoding});
        body.insert(body.end(), options.program.begin(), options.program.end());
        last_cie_ = entry(body);
        return last_cie_;
    }
    u32 cie() { return cie(CieOptions{}); }

    u32 fde(VirtAddr begin, u64 size, const std::vector<u8>& program = {}) {
        std::vector<u8> body;
        auto id_offset = static_cast<u32>(bytes_.size() + 4);
        put(body, id_offset - last_cie_);
        u64 field = at_.value + id_offset + 4;
        u64 value = (encoding_ & 0x70) == 0x10 ? begin.value - field : begin.value;
        if (!has_augmentation_data_ || (encoding_ & 0x07) == 0 || (encoding_ & 0x07) == 4) {
            put(body, has_augmentation_data_ ? value : begin.value);
            put(body, size);
        } else {
            put(body, static_cast<u32>(value));
            put(body, static_cast<u32>(size));
        }
        if (has_augmentation_data_) body.push_back(0);
        body.insert(body.end(), program.begin(), program.end());
        return entry(body);
    }

    void terminator() { put(bytes_, u32{0}); }
    std::vector<u8>& bytes() { return bytes_; }
    FrameTable table() const { return {std::as_bytes(std::span(bytes_)), at_}; }

private:
    template <typename T>
    static void put(std::vector<u8>& bytes, T value) {
        u8 raw[sizeof(T)];
        std::memcpy(raw, &value, sizeof(T));
        bytes.insert(bytes.end(), raw, raw + sizeof(T));
    }

    u32 entry(std::vector<u8> body) {
        while ((body.size() + 4) % 8 != 0) body.push_back(0);
        auto offset = static_cast<u32>(bytes_.size());
        put(bytes_, static_cast<u32>(body.size()));
        bytes_.insert(bytes_.end(), body.begin(), body.end());
        return offset;
    }

    VirtAddr at_;
    u32 last_cie_ = 0;
    u8 encoding_ = 0x1b;
    bool has_augmentation_data_ = true;
    std::vector<u8> bytes_;
};

}  // namespace graft::arch
