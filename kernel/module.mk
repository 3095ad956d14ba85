# What of the kernel knows neither tasks nor the machine: the unit tests link it.
HOST_SRCS += $(wildcard kernel/pure/*.cpp)
