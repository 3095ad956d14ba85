NAME_image := imagetables
LIBS_image := -lelf -ldw -lZydis
# Only what it reads, so that the image doesn't wait for the other formats.
BASE_image := formats/image_tables.cpp tools/host/assert.cpp
TESTED += tools/image/tables_writer.cpp
