# Tests, lint and the measuring targets. Each measuring target ends with one line that begins with its name; tests/measure.py
# passes the output on, takes the line for itself and fails without it.

CLANG_TIDY ?= clang-tidy-19
MEASURE := python3 tests/measure.py
QUIET_IMAGE := exit=debug

SHELL_SCRIPTS = $(shell find mk tools tests .ci -type f \( -name '*.sh' -o -path '.ci/run' \) | sort)
IMAGE_CXX_OBJECTS = $(filter %.cpp.o %.c.o,$(KERNEL_OBJECTS) $($(APP_NAME)_OBJECTS))

.PHONY: test check_walls check_headers check_format check_shell check_tidy check_flags check_imagetables check_inittext check_rows \
    check_reproducible check_neutral

# SUITES="unit guest" runs only those.
test:  ## every test; the last line is the total
	+@python3 tests/run.py $(SUITES)

check_walls:
	@python3 tools/lint/walls.py
check_headers:
	@python3 tools/lint/headers.py $(CXX) $(CXX_ONLY_FLAGS) $(IMAGE_FLAGS) $(KERNEL_FLAGS) -- $(HOST_CXX) $(HOST_FLAGS)
check_format:
	@python3 tools/lint/format.py
check_shell:
	@shellcheck -x $(SHELL_SCRIPTS) && echo "shell: files=$(words $(SHELL_SCRIPTS)) findings=0"
# FILES="a.cpp b.h" checks only those.
check_tidy: build/clang/compile_commands.json
	@python3 tools/lint/tidy.py $(CLANG_TIDY) build/clang $(FILES)
check_neutral: build/demo.elf build/graft  ## edits that change no code, over every file of the image (minutes)
	@python3 tests/build/neutral_test.py
check_rows: $(IMAGE) build/tools/imagetables
	@build/tools/imagetables rows $<
check_flags: $(IMAGE)
	@python3 tests/build/flags_test.py $(CXX) $(CXX_ONLY_FLAGS) $(IMAGE_FLAGS) $(SITE_FLAGS) $(KERNEL_FLAGS) -- $(IMAGE_CXX_OBJECTS)
check_imagetables: build/tools/imagetables
	@python3 tests/build/imagetables_test.py $<
check_inittext: build/tools/inittext
	@python3 tests/build/inittext_test.py $<
check_reproducible: build/demo.elf build/graft
	+@python3 tests/build/reproducible_test.py

.PHONY: lint format
lint: check_walls check_headers check_format check_shell check_rows check_flags check_tidy  ## walls, headers, format, shell, rows, clang-tidy
format:  ## lay out all sources as .clang-format says
	@python3 tools/lint/format.py --fix

# One record a source: where it is and how it is compiled, for editors (build/compile_commands.json) and for clang's tools,
# which reject some of GCC's flags (build/clang/compile_commands.json).
COMPILED := $(filter %.cpp %.c,$(ORDERED_SOURCES) $($(APP_NAME)_SOURCES))
define compile_list
$(foreach source,$(COMPILED),$(source)	$(if $(filter %.c,$(source)),$(CC) $(C_ONLY_FLAGS),$(CXX) $(CXX_ONLY_FLAGS)) $(call image_flags,$(source))
)$(foreach source,$(wildcard tools/*/*.cpp) $(UNIT_SOURCES) $(SIM_SOURCES),$(source)	$(HOST_CXX) $(HOST_FLAGS)
)
endef
build/compile_commands.json build/clang/compile_commands.json &: build/image/flags mk/compile_commands.py Makefile $(COMPILED)
	@mkdir -p build/clang
	$(file >build/compile.list,$(compile_list))
	@python3 mk/compile_commands.py build/compile.list build/compile_commands.json build/clang/compile_commands.json

# ---- measuring targets ----------------------------------------------------------------------------------------------

.PHONY: patchable unwind sim torture lifecycle model fuzz link corpus selfpatch bench

patchable: $(IMAGE) build/tools/imagetables  ## which functions can't be patched, and why
	@build/tools/imagetables patchable $<

STEPS ?= 100000
unwind: build/test-unwind.elf build/graft  ## every step's walk against a shadow call stack (STEPS)
	@$(MEASURE) unwind build/graft --timeout 3000 run $< --smp 1 --append "$(QUIET_IMAGE) steps=$(STEPS)"

SEEDS ?= 1000
# Every hundredth seed under the sanitizers, too.
sim: build/sim build/checked-sim  ## random histories of the patch core (SEEDS)
	@$(MEASURE) sim sh -c 'build/checked-sim --only histories --first 2 --step 100 --seeds $$((($(SEEDS) + 99) / 100)) && \
	    exec build/sim --seeds $(SEEDS)'

CYCLES ?= 1000
SMP ?= 4
SEED ?=
torture: build/test-torture.elf build/test-torture/patches/pair.klp build/graft  ## load, unload, reverse under busy tasks (CYCLES SMP SEED)
	@$(MEASURE) torture build/graft --timeout 14400 run $< --smp $(SMP) --module $(word 2,$^) \
	    --append "$(QUIET_IMAGE) patches=manual cycles=$(CYCLES) seed=$(or $(SEED),$$RANDOM)"

OPS ?= 10000
# In the order of tests/guest/lifecycle/world.h.
LIFECYCLE_PATCHES := $(patsubst %,build/test-lifecycle/patches/%.klp,pair-1 pair-2 pair-3 pair-4 solo-1 solo-2 tally refusing clash foreign forever)
build/test-lifecycle/patches/all: $(LIFECYCLE_PATCHES)
	@cat $^ >$@
lifecycle: build/test-lifecycle.elf build/test-lifecycle/patches/all build/graft  ## all that a patch can go through, at random, beside a model (OPS SMP SEED)
	@$(MEASURE) lifecycle build/graft --timeout 14400 run $< --smp $(SMP) --module $(word 2,$^) \
	    --append "$(QUIET_IMAGE) patches=manual ops=$(OPS) seed=$(or $(SEED),$$RANDOM)"

MODEL_TASKS ?= 3
model:  ## every state of the models of transitions and text writes, with SPIN (MODEL_TASKS)
	@$(MEASURE) model python3 tests/model/run.py --tasks $(MODEL_TASKS)

RUNS ?= 1000000
TARGET ?= all
fuzz: fuzzers  ## libFuzzer over everything that reads input (RUNS TARGET)
	@$(MEASURE) fuzz python3 tests/fuzz/run.py --runs $(RUNS) --target $(TARGET)

LOADS ?= 50
BAD ?= 10%
link: build/graft $(IMAGE) patches  ## patches over a damaged serial line (LOADS BAD)
	@$(MEASURE) link python3 tests/qemu/link.py --loads $(LOADS) --bad '$(BAD)'

corpus: build/graft build/test-corpus.elf  ## diffs, one for each phenomenon, built and observed (OPT=-O2)
	@$(MEASURE) corpus python3 tests/corpus/run.py --opt=$(CORPUS_OPT)

COUNT ?= 30
selfpatch: build/graft build/test-corpus.elf  ## random functions of the whole system, patched while it runs (COUNT SEED)
	@$(MEASURE) selfpatch python3 tests/corpus/selfpatch.py --count $(COUNT) $(if $(SEED),--seed $(SEED))

PART ?= call
CALLS ?= 100000
TASKS ?= 8,64,1024,10000
ROUNDS ?= 5
FULL ?= 1
BENCHED := $(if $(filter build,$(PART)),build/demo.elf,build/test-bench.elf build/test-bench/patches/bench.klp)
bench: $(BENCHED) build/graft  ## figures beside Linux's (PART=call|transition|build CALLS TASKS ROUNDS FULL)
	@$(MEASURE) bench python3 tests/bench/bench.py --part $(PART) --calls $(CALLS) --tasks $(TASKS) --rounds $(ROUNDS) --full $(FULL)
