# Code that a test runs with the trap flag, instruction by instruction: compiled as the image is, as far as the host's
# linker allows (position independent, so without the kernel's code model and the call sites), and never instrumented.
check_flags.tests/unit/arch_stepped_code.cpp := -fno-sanitize=all -O2 -fPIE -mgeneral-regs-only -fno-exceptions -fno-rtti \
    $(filter-out -mcmodel=kernel -fno-pic -fno-pie,$(MACHINE_FLAGS)) $(PATCHABLE_FLAGS)

# Sources before and after a diff, compiled as the image is; the tests read the objects, and the small image that those
# of before are linked into.
PAIRS := $(patsubst tests/unit/pairs/%,%,$(wildcard tests/unit/pairs/*.cpp)) sums.S
PAIR_BASELINE := $(PAIRS:%=build/check/pairs/%.before.o)
PAIR_LINK = $(LD) -L tests/unit/pairs $(LINK_FLAGS) --no-gc-sections
pair_compiler = $(if $(filter %.S,$<),$(CC) $(ASM_FLAGS),$(CXX) $(CXX_ONLY_FLAGS) $(IMAGE_FLAGS) $(SITE_FLAGS) $(KERNEL_FLAGS))
pair_compile = $(call run,CXX,$@)mkdir -p $(@D) && $(pair_compiler) -c $< -o $@

build/check/pairs/%.before.o: tests/unit/pairs/% build/image/flags
	$(pair_compile)
build/check/pairs/%.after.o: tests/unit/pairs/% build/image/flags
	$(pair_compile) -DAFTER
build/check/pairs/first.elf: $(PAIR_BASELINE) build/image/tests/unit/pairs/start.S.o build/image/mk/image_tables.S.o linker.ld \
    tests/unit/pairs/init_text.ld
	$(call run,LINK,$@)$(PAIR_LINK) --build-id=sha1 $(filter %.o,$^) -o $@
build/check/pairs/tables.o: build/check/pairs/first.elf build/tools/imagetables mk/image_tables.S
	$(call run,TABLES,$@)build/tools/imagetables write $< $(@:.o=.bin)
	@$(CC) -Wa,--noexecstack -DGRAFT_TABLES='"$(@:.o=.bin)"' -c mk/image_tables.S -o $@
build/check/pairs/image.elf: build/check/pairs/first.elf build/check/pairs/tables.o
	$(call run,LINK,$@)$(PAIR_LINK) --build-id=0x$$(build/tools/imagetables build-id $<) -Map=$(@D)/map \
	    $(PAIR_BASELINE) build/image/tests/unit/pairs/start.S.o build/check/pairs/tables.o -o $@
build/unit/all build/unit/tools_differ_types_test build/unit/tools_differ_judge_test: \
    | build/check/pairs/image.elf $(PAIRS:%=build/check/pairs/%.after.o)
