# Code that a test runs with the trap flag, instruction by instruction: compiled as the image is, as far as the host's
# linker allows (position independent, so without the kernel's code model and the call sites), and never instrumented.
check_flags.tests/unit/arch_stepped_code.cpp := -fno-sanitize=all -O2 -fPIE -mgeneral-regs-only -fno-exceptions -fno-rtti \
    $(filter-out -mcmodel=kernel -fno-pic -fno-pie,$(MACHINE_FLAGS)) $(PATCHABLE_FLAGS)
