LIBS_graft := -lelf -lfmt
SRCS_graft := tools/patch/object.cpp
