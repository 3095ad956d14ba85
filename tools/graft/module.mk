LIBS_graft := -lelf -ldw -lZydis -lZycore -lfmt
SRCS_graft := $(filter-out tools/patch/main.cpp,$(wildcard tools/patch/*.cpp)) $(wildcard tools/differ/*.cpp tools/build/*.cpp)
TESTED += tools/graft/json.cpp tools/graft/deadline.cpp tools/graft/failure.cpp tools/graft/connect.cpp \
    tools/graft/host_processor.cpp
# Its command line's templates take half of the time that all tools take to compile; none of it is worth optimising.
$(foreach source,$(wildcard tools/graft/*.cpp),$(eval host_flags.$(source) := -O1))
