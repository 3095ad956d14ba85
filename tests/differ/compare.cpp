// The comparison library as a program, for the tests: prints what compare() found as JSON.
//
// usage: compare IMAGE MAP OUTPUT [SOURCE LINKED_AS BASELINE PATCHED]...
// A word "-" stands for an empty one. Exit codes as of the host command: 0 made, 1 refused, 2 error, 3 nothing to do.
#include <cstdio>
#include <fstream>

#include <fmt/format.h>

#include "tools/differ/differ.h"
#include "tools/graft/json.h"

namespace graft::differ {
namespace {

using tool::JsonWriter;

void write(JsonWriter& json, const Decision& decision) {
    json.field("kind", decision_name(decision.kind)).field("name", decision.name).field("function", decision.demangled);
    json.field("unit", decision.unit).field("reason", decision.reason).field("place", decision.place.text());
    json.field("entry", decision.entry);
}

void write(JsonWriter& json, const Refusal& refusal) {
    json.field("code", refusal.code).field("subject", refusal.subject).field("place", refusal.place.text());
    json.field("text", refusal.text());
}

void write(JsonWriter& json, const Remark& remark) {
    json.field("code", remark.code).field("place", remark.place.text()).field("text", remark.text);
}

void write(JsonWriter& json, const std::string& text) {
    json.field("text", text);
}

template <typename Item>
void list(JsonWriter& json, const char* name, const std::vector<Item>& items) {
    json.key(name).begin_array();
    for (const Item& item : items) {
        json.begin_object();
        write(json, item);
        json.end();
    }
    json.end();
}

int run(int argc, char** argv) {
    auto word = [&](int index) { return std::string(argv[index]) == "-" ? std::string() : std::string(argv[index]); };
    if (argc < 4 || (argc - 4) % 4 != 0) return 2;
    Request request;
    request.image = argv[1];
    request.map = argv[2];
    request.texts.name = "test";
    for (int i = 4; i < argc; i += 4) request.units.push_back({word(i), word(i + 1), word(i + 2), word(i + 3)});
    auto result = compare(request);
    JsonWriter json;
    json.begin_object();
    if (result) {
        list(json, "decisions", result->decisions);
        list(json, "refusals", result->refusals);
        list(json, "warnings", result->warnings);
        list(json, "guesses", result->guesses);
        list(json, "data", result->added);
        list(json, "references", result->references);
    } else {
        json.field("error", result.error().text);
    }
    json.end();
    fmt::print("{}\n", json.text());
    if (!result) return 2;
    std::ofstream(argv[3], std::ios::binary)
        .write(reinterpret_cast<const char*>(result->patch.data()), static_cast<std::streamsize>(result->patch.size()));
    return result->refused() ? 1 : result->nothing_to_do() ? 3 : 0;
}

}  // namespace
}  // namespace graft::differ

int main(int argc, char** argv) {
    return graft::differ::run(argc, argv);
}
