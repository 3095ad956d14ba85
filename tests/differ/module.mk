# The comparison library as a program, with the sanitizers of the unit tests: hostile objects must not hurt it.
build/differ-compare: build/check/tests/differ/compare.cpp.o build/check/tools/graft/json.cpp.o \
    $(patsubst %,build/check/%.o,$(filter-out tools/patch/main.cpp,$(wildcard base/*.cpp formats/*.cpp tools/host/*.cpp tools/patch/*.cpp tools/differ/*.cpp)))
	$(call run,LINK,$@)$(HOST_CXX) $(CHECK_FLAGS) $^ -lelf -ldw -lZydis -lZycore -lfmt -o $@

-include build/check/tests/differ/compare.cpp.d

DIFFER_FLAGS := $(IMAGE_FLAGS) $(SITE_FLAGS) $(KERNEL_FLAGS)
.PHONY: check_differ
check_differ: build/differ-compare build/tools/imagetables
	@python3 tests/differ/differ_test.py $^ $(LD) $(LINK_FLAGS) -- $(CXX) $(CXX_ONLY_FLAGS) $(DIFFER_FLAGS) -- \
	    $(CC) $(C_ONLY_FLAGS) $(DIFFER_FLAGS) -- $(CASES)
