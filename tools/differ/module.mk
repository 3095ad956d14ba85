TESTED += $(wildcard tools/differ/*.cpp)
LIBS_unit += -ldw -lZycore
