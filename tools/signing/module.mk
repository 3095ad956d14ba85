TESTED += $(wildcard tools/signing/*.cpp)
LIBS_unit += -lsodium
SRCS_graft += $(wildcard tools/signing/*.cpp)
LIBS_graft += -lsodium
SRCS_patch += $(wildcard tools/signing/*.cpp)
LIBS_patch += -lsodium
