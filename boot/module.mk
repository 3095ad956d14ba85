HOST_SRCS += boot/early_memory.cpp
