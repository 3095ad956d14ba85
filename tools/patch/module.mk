NAME_patch := mkpatch
LIBS_patch := -lelf -lZydis -lZycore -lfmt
TESTED += $(filter-out tools/patch/main.cpp,$(wildcard tools/patch/*.cpp))
LIBS_unit += -lelf -lZydis -lZycore -lfmt
