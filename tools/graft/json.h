// JsonWriter: one JSON document, written in order. Strings are escaped; bytes that aren't UTF-8 become U+FFFD.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace graft::tool {

class JsonWriter {
public:
    JsonWriter& begin_object() { return open('{', '}'); }
    JsonWriter& begin_array() { return open('[', ']'); }
    JsonWriter& end();
    JsonWriter& key(std::string_view name);
    JsonWriter& value(std::string_view text);
    JsonWriter& value(const char* text) { return value(std::string_view(text)); }
    template <std::integral T>
    JsonWriter& value(T number) {
        if constexpr (std::same_as<T, bool>)
            return raw(number ? "true" : "false");
        else
            return raw(std::to_string(number));
    }
    template <typename T>
    JsonWriter& field(std::string_view name, const T& content) {
        return key(name).value(content);
    }

    const std::string& text() const { return text_; }

private:
    JsonWriter& open(char begin, char end);
    JsonWriter& raw(std::string_view text);
    void separate();

    std::string text_;
    std::vector<char> ends_;
    bool first_ = true;
    bool after_key_ = false;
};

}  // namespace graft::tool
