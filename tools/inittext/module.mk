LIBS_inittext := -lelf -lZydis -lZycore -lfmt
SRCS_inittext := $(patsubst %,tools/differ/%.cpp,call_graph link_map names) tools/patch/object.cpp
# Only what it reads, so that the image doesn't wait for the formats.
BASE_inittext := tools/host/assert.cpp
