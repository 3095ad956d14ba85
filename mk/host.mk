# What runs on the host: tools, the command, unit tests (sanitizers), the simulation, fuzzers (clang).

# ---- programs: tools/NAME/main.cpp and its neighbours, with base/ and formats/ --------------------------------------

HOST_BASE := $(sort $(wildcard base/*.cpp formats/*.cpp tools/host/*.cpp))
TOOL_DIRS := $(patsubst tools/%/main.cpp,%,$(wildcard tools/*/main.cpp))
tool_output = $(if $(filter graft,$1),build/graft,build/tools/$(or $(NAME_$1),$1))

define program
$(call tool_output,$1): $(patsubst %,build/host/%.o,$(sort $(wildcard tools/$1/*.cpp)) $(or $(BASE_$1),$(HOST_BASE)) $(SRCS_$1))
	@mkdir -p $$(@D)
	$$(call run,LINK,$$@)$$(HOST_CXX) $$(HOST_FLAGS) $$^ $$(LIBS_$1) -o $$@
TOOLS += $(call tool_output,$1)
HOST_OBJECTS += $(patsubst %,build/host/%.o,$(wildcard tools/$1/*.cpp) $(SRCS_$1))
endef
$(foreach tool,$(TOOL_DIRS),$(eval $(call program,$(tool))))

.PHONY: tools
tools: $(TOOLS)

build/host/%.o: %
	@mkdir -p $(@D)
	$(call run,HOSTCXX,$@)$(HOST_CXX) $(HOST_FLAGS) $(host_flags.$<) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

# ---- unit tests: the floors up to patch/ and what is pure above, linked with nothing else ---------------------------

SIM_SOURCES := $(filter-out tests/sim/main.cpp,$(sort $(wildcard tests/sim/*.cpp)))
PURE_SOURCES := $(sort $(HOST_BASE) $(wildcard patch/*.cpp arch/x86_64/pure/*.cpp kernel/pure/*.cpp boot/parse_*.cpp) \
    $(filter-out $(HOST_SKIP),$(wildcard control/*.cpp)) $(HOST_SRCS))
UNIT_SOURCES := $(sort $(wildcard tests/unit/*.cpp))
# The tests themselves without optimisation: what is tested isn't in them, and they compile in half the time.
$(foreach source,$(UNIT_SOURCES),$(eval check_flags.$(source) ?= -O0))
CHECK_OBJECTS := $(patsubst %,build/check/%.o,$(PURE_SOURCES) $(SIM_SOURCES) $(TESTED))

build/unit/all: $(CHECK_OBJECTS) $(UNIT_SOURCES:%=build/check/%.o)
	@mkdir -p $(@D)
	$(call run,LINK,$@)$(HOST_CXX) $(CHECK_FLAGS) $^ $(LIBS_unit) -lgtest -lgtest_main -o $@

# One test file alone, with what tests share, while writing it: make build/unit/base_text_test
UNIT_SHARED := $(patsubst %,build/check/%.o,$(filter-out %_test.cpp,$(UNIT_SOURCES)))
build/unit/%: build/check/tests/unit/%.cpp.o $(UNIT_SHARED) build/check/pure.a
	@mkdir -p $(@D)
	$(call run,LINK,$@)$(HOST_CXX) $(CHECK_FLAGS) $^ $(LIBS_unit) -lgtest -lgtest_main -o $@
build/check/pure.a: $(CHECK_OBJECTS)
	@rm -f $@
	@ar rcs $@ $^
.PRECIOUS: build/check/%.o

build/check/%.o: %
	@mkdir -p $(@D)
	$(call run,HOSTCXX,$@)$(HOST_CXX) $(CHECK_FLAGS) $(check_flags.$<) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

# ---- simulation -----------------------------------------------------------------------------------------------------

SIM_OBJECTS := $(patsubst %,build/host/%.o,$(HOST_BASE) $(sort $(wildcard patch/*.cpp)) $(SIM_SOURCES) tests/sim/main.cpp)
build/sim: $(SIM_OBJECTS)
	$(call run,LINK,$@)$(HOST_CXX) $(HOST_FLAGS) $^ -lsodium -o $@
# The same under the sanitizers.
SIM_CHECK_OBJECTS := $(SIM_OBJECTS:build/host/%=build/check/%)
build/checked-sim: $(SIM_CHECK_OBJECTS)
	$(call run,LINK,$@)$(HOST_CXX) $(CHECK_FLAGS) $^ -lsodium -o $@

# ---- fuzzers: tests/fuzz/NAME_fuzz.cpp, each with everything pure ----------------------------------------------------

FUZZERS := $(patsubst tests/fuzz/%_fuzz.cpp,build/fuzz/%,$(sort $(wildcard tests/fuzz/*_fuzz.cpp)))
FUZZ_OBJECTS := $(patsubst %,build/fuzzed/%.o,$(PURE_SOURCES) $(SIM_SOURCES))

build/fuzz/%: build/fuzzed/tests/fuzz/%_fuzz.cpp.o build/fuzzed/pure.a
	@mkdir -p $(@D)
	$(call run,LINK,$@)$(CLANG) $(subst fuzzer-no-link,fuzzer,$(FUZZ_FLAGS)) $^ -lsodium -o $@
build/fuzzed/pure.a: $(FUZZ_OBJECTS)
	@rm -f $@
	@ar rcs $@ $^
build/fuzzed/%.o: %
	@mkdir -p $(@D)
	$(call run,HOSTCXX,$@)$(CLANG) $(FUZZ_FLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@
.PRECIOUS: build/fuzzed/%.o

.PHONY: fuzzers unit
fuzzers: $(FUZZERS)
unit: build/unit/all  ## the unit tests alone
	build/unit/all --gtest_brief=1

-include $(wildcard $(patsubst %.o,%.d,$(HOST_OBJECTS) $(HOST_BASE:%=build/host/%.o) $(SIM_OBJECTS) $(SIM_CHECK_OBJECTS) $(CHECK_OBJECTS) \
    $(UNIT_SOURCES:%=build/check/%.o) $(FUZZ_OBJECTS) $(FUZZERS:build/fuzz/%=build/fuzzed/tests/fuzz/%_fuzz.cpp.o)))
