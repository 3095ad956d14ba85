TESTED += tools/build/diff_text.cpp tools/build/source_text.cpp tools/build/line_map.cpp \
    tools/build/own_initialiser.cpp
