# A guest that isn't one: the real link, server and control tree over a made-up system, on a socket of the host.
FAKE_GUEST_SOURCES := tests/qemu/fake_guest.cpp $(wildcard base/*.cpp formats/*.cpp tools/host/*.cpp patch/*.cpp) \
    $(filter-out $(HOST_SKIP),$(wildcard control/*.cpp))
build/tools/fake_guest: $(FAKE_GUEST_SOURCES:%=build/host/%.o)
	@mkdir -p $(@D)
	$(HOST_CXX) $(HOST_FLAGS) $^ -lsodium -o $@
HOST_OBJECTS += $(FAKE_GUEST_SOURCES:%=build/host/%.o)

# Requests one by one, over the host command's own client.
FIDS_SOURCES := tests/qemu/fids.cpp $(wildcard base/*.cpp formats/*.cpp tools/host/*.cpp) \
    $(addprefix tools/graft/,connect.cpp deadline.cpp failure.cpp link_stream.cpp ninep_client.cpp)
build/tools/fids: $(FIDS_SOURCES:%=build/host/%.o)
	@mkdir -p $(@D)
	$(HOST_CXX) $(HOST_FLAGS) $^ -lfmt -o $@
HOST_OBJECTS += build/host/tests/qemu/fids.cpp.o

# A client that means harm.
HOSTILE_SOURCES := tests/qemu/hostile.cpp $(wildcard base/*.cpp formats/*.cpp tools/host/*.cpp) \
    $(addprefix tools/graft/,connect.cpp deadline.cpp failure.cpp link_stream.cpp)
build/tools/hostile: $(HOSTILE_SOURCES:%=build/host/%.o)
	@mkdir -p $(@D)
	$(HOST_CXX) $(HOST_FLAGS) $^ -lfmt -o $@
HOST_OBJECTS += build/host/tests/qemu/hostile.cpp.o
