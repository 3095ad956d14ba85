LIBS_graft := -lelf -lfmt
SRCS_graft := tools/patch/object.cpp
TESTED += tools/graft/json.cpp tools/graft/deadline.cpp tools/graft/failure.cpp tools/graft/connect.cpp
