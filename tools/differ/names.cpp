#include "tools/differ/names.h"

#include <cxxabi.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "tools/differ/differ.h"

namespace graft::differ {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// "n.12" → "n"; what isn't so numbered stays.
std::string_view without_suffix(std::string_view name) {
    usize end = name.size();
    while (end > 0 && is_digit(name[end - 1])) --end;
    if (end == name.size() || end < 2 || name[end - 1] != '.') return name;
    return name.substr(0, end - 1);
}

// "f()::{lambda(int)#2}" → "f()::{lambda(int)#}"
std::string without_ordinals(std::string text) {
    std::string result;
    for (usize i = 0; i < text.size(); ++i) {
        result += text[i];
        if (text[i] != '#') continue;
        usize end = i + 1;
        while (end < text.size() && is_digit(text[end])) ++end;
        if (end < text.size() && text[end] == '}') i = end - 1;
    }
    return result;
}

void erase_all(std::string& text, std::string_view part) {
    for (usize at = text.find(part); at != std::string::npos; at = text.find(part, at)) text.erase(at, part.size());
}

bool ends_with_local(std::string_view name, std::string_view local) {
    return name.starts_with("_ZZ") && name.find(local) != std::string_view::npos;
}

}  // namespace

std::string demangled(std::string_view linkage_name) {
    std::string name(linkage_name);
    int status = 0;
    char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
    if (status != 0 || !text) return name;
    std::string result(text);
    std::free(text);
    return result;
}

std::string unnumbered(std::string_view linkage_name) {
    std::string_view base = without_suffix(linkage_name);
    if (!base.starts_with("_Z")) return std::string(base);
    std::string text = without_ordinals(demangled(base));
    // The demangler leaves out the numbers of static locals by itself, and what tells the deleting destructor from the
    // plain one.
    if (text.find('~') != std::string::npos && base.find("D0Ev") != std::string_view::npos) text += " [deleting]";
    return text;
}

bool is_numbered(std::string_view linkage_name) {
    if (without_suffix(linkage_name) != linkage_name) return true;
    if (!linkage_name.starts_with("_Z")) return false;
    if (linkage_name.starts_with("_ZZ") || linkage_name.starts_with("_ZGVZ")) return true;
    return linkage_name.find("Ul") != std::string_view::npos || linkage_name.find("Ut") != std::string_view::npos;
}

std::string unscoped(std::string_view linkage_name) {
    std::string text = unnumbered(linkage_name);
    erase_all(text, "(anonymous namespace)::");
    return text;
}

bool is_clone(std::string_view linkage_name) {
    for (std::string_view mark : {".constprop.", ".isra.", ".part.", ".cold"}) {
        if (linkage_name.find(mark) != std::string_view::npos) return true;
    }
    return false;
}

bool is_coroutine_body(std::string_view linkage_name) {
    return linkage_name.find(".Frame.actor") != std::string_view::npos ||
           linkage_name.find(".Frame.destroy") != std::string_view::npos;
}

bool is_never_replaced(std::string_view linkage_name) {
    return is_clone(linkage_name) || is_coroutine_body(linkage_name);
}

bool names_content(std::string_view linkage_name) {
    std::string_view base = without_suffix(linkage_name);
    for (std::string_view name : {"CSWTCH", "__func__", "__FUNCTION__", "__PRETTY_FUNCTION__"}) {
        if (base == name && base != linkage_name) return true;
    }
    return ends_with_local(linkage_name, "E8__func__") || ends_with_local(linkage_name, "E12__FUNCTION__") ||
           ends_with_local(linkage_name, "E19__PRETTY_FUNCTION__");
}

bool is_initialiser(std::string_view linkage_name) {
    return !initialiser_kind(linkage_name).empty();
}

std::string initialiser_kind(std::string_view linkage_name) {
    for (std::string_view kind : {"_GLOBAL__sub_I", "_GLOBAL__I", "_GLOBAL__sub_D", "_GLOBAL__D"}) {
        if (!linkage_name.starts_with(kind)) continue;
        usize end = kind.size();
        if (linkage_name.substr(end).starts_with('.')) ++end;
        while (end < linkage_name.size() && is_digit(linkage_name[end])) ++end;
        if (linkage_name.substr(end).starts_with('_')) return std::string(linkage_name.substr(0, end));
    }
    return {};
}

bool is_vtable(std::string_view linkage_name) {
    return linkage_name.starts_with("_ZTV") || linkage_name.starts_with("_ZTC") || linkage_name.starts_with("_ZTT");
}

std::string class_of_vtable(std::string_view linkage_name) {
    if (!is_vtable(linkage_name)) return {};
    std::string text = demangled(linkage_name);
    if (text.starts_with("construction vtable for ")) {
        // "construction vtable for BASE-in-CLASS"
        usize in = text.find("-in-");
        return in == std::string::npos ? std::string() : text.substr(in + 4);
    }
    for (std::string_view prefix : {"vtable for ", "VTT for "})
        if (text.starts_with(prefix)) return text.substr(prefix.size());
    return {};
}

std::string guarded(std::string_view linkage_name) {
    if (!linkage_name.starts_with("_ZGV")) return {};
    return "_Z" + std::string(linkage_name.substr(4));
}

}  // namespace graft::differ
