# Code that a test runs with the trap flag, instruction by instruction: compiled as the image is, as far as the host's
# linker allows (position independent, so without the kernel's code model and the call sites), and never instrumented.
check_flags.tests/unit/arch_stepped_code.cpp := -fno-sanitize=all -O2 -fPIE -mgeneral-regs-only -fno-exceptions -fno-rtti \
    $(filter-out -mcmodel=kernel -fno-pic -fno-pie,$(MACHINE_FLAGS)) $(PATCHABLE_FLAGS)

# Sources before and after a diff, compiled as the image is; the tests read the objects.
PAIRS := $(patsubst tests/unit/pairs/%,%,$(wildcard tests/unit/pairs/*.cpp))
PAIR_OBJECTS := $(foreach side,before after,$(PAIRS:%=build/check/pairs/%.$(side).o))
pair_compile = $(call run,CXX,$@)mkdir -p $(@D) && $(CXX) $(CXX_ONLY_FLAGS) $(IMAGE_FLAGS) $(SITE_FLAGS) $(KERNEL_FLAGS) -c $< -o $@
build/check/pairs/%.before.o: tests/unit/pairs/% build/image/flags
	$(pair_compile)
build/check/pairs/%.after.o: tests/unit/pairs/% build/image/flags
	$(pair_compile) -DAFTER
build/unit/all build/unit/tools_differ_types_test build/unit/tools_differ_judge_test: | $(PAIR_OBJECTS)
