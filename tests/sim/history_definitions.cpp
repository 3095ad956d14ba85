#include "tests/sim/history_definitions.h"

#include "tests/sim/patch_builder.h"

namespace graft::sim {

namespace {

constexpr std::array<usize, 7> kSetOf = {0, 0, 0, 0, 1, 1, 2};  // of each definition
constexpr usize kFunctionsOfSet = 4;
constexpr usize kChanging = kSets * kFunctionsOfSet;

Functions some_functions(Random& random, usize set, u64 count) {
    Functions some = 0;
    for (; count > 0; --count) {
        bool is_foreign = random.percent(6);
        usize function = is_foreign ? random.below(kChanging) : set * kFunctionsOfSet + random.below(kFunctionsOfSet);
        some |= Functions{1} << function;
    }
    return some;
}

}  // namespace

std::vector<PatchDefinition> make_definitions(Random& random) {
    std::vector<PatchDefinition> definitions;
    for (usize i = 0; i < kSetOf.size(); ++i) {
        PatchDefinition made;
        made.name = "patch-" + std::to_string(i);
        made.set = kSetOf[i];
        made.leaks = random.percent(40);
        bool has_neighbour = i > 0 && kSetOf[i - 1] == made.set;
        if (has_neighbour && random.percent(15)) {
            made.replaced = definitions.back().replaced;
            made.held = definitions.back().held;
        } else {
            bool is_empty = random.percent(12);
            made.replaced = is_empty ? 0 : some_functions(random, made.set, 1 + random.below(3));
            made.held = some_functions(random, made.set, random.below(3)) & ~made.replaced;
        }
        definitions.push_back(std::move(made));
    }
    return definitions;
}

Bytes make_file(const SimImage& image, const PatchDefinition& definition, bool is_wrong) {
    PatchBuilder builder(image, definition.name);
    builder.set = "set-" + std::to_string(definition.set);
    u32 helper = builder.add_function("helper");
    for (usize function = 0; function < kChanging; ++function) {
        if (has(definition.replaced, function))
            builder.add_call(builder.replace(image.function(function).name), 8, helper);
        if (has(definition.held, function)) builder.add_hold(image.function(function));
    }
    if (is_wrong) builder.functions[0].position = 7;
    return builder.build();
}

}  // namespace graft::sim
