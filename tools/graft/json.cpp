#include "tools/graft/json.h"

#include <fmt/format.h>

namespace graft::tool {
namespace {

// The number of bytes of the UTF-8 sequence at the front, or 0 when there is none.
usize sequence_length(std::string_view text) {
    auto byte = [&](usize index) { return static_cast<u8>(text[index]); };
    u8 lead = byte(0);
    usize length = lead < 0x80                   ? 1
                   : lead >= 0xc2 && lead < 0xe0 ? 2
                   : (lead & 0xf0) == 0xe0       ? 3
                   : lead >= 0xf0 && lead < 0xf5 ? 4
                                                 : 0;
    if (length == 0 || length > text.size()) return 0;
    for (usize i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return 0;
    }
    // Overlong forms, surrogates and what lies past U+10FFFF. [rfc3629 §4]
    if (lead == 0xe0 && byte(1) < 0xa0) return 0;
    if (lead == 0xed && byte(1) >= 0xa0) return 0;
    if (lead == 0xf0 && byte(1) < 0x90) return 0;
    if (lead == 0xf4 && byte(1) >= 0x90) return 0;
    return length;
}

void append_escaped(std::string& out, std::string_view text) {
    while (!text.empty()) {
        usize length = sequence_length(text);
        auto lead = static_cast<u8>(text[0]);
        if (length == 0)
            out += "\\ufffd";
        else if (lead == '"' || lead == '\\')
            out.append({'\\', text[0]});
        else if (lead == '\n')
            out += "\\n";
        else if (lead == '\t')
            out += "\\t";
        else if (lead < 0x20)
            out += fmt::format("\\u{:04x}", lead);
        else
            out += text.substr(0, length);
        text.remove_prefix(length == 0 ? 1 : length);
    }
}

}  // namespace

void JsonWriter::separate() {
    if (!after_key_ && !first_) text_ += ", ";
    after_key_ = false;
    first_ = false;
}

JsonWriter& JsonWriter::open(char begin, char end) {
    separate();
    text_ += begin;
    ends_.push_back(end);
    first_ = true;
    return *this;
}

JsonWriter& JsonWriter::end() {
    text_ += ends_.back();
    ends_.pop_back();
    first_ = false;
    return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    value(name);
    text_ += ": ";
    after_key_ = true;
    return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
    separate();
    text_ += '"';
    append_escaped(text_, text);
    text_ += '"';
    return *this;
}

JsonWriter& JsonWriter::raw(std::string_view text) {
    separate();
    text_ += text;
    return *this;
}

}  // namespace graft::tool
