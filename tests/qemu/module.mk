# A guest that isn't one: the real link, server and control tree over a made-up system, on a socket of the host.
FAKE_GUEST_SOURCES := tests/qemu/fake_guest.cpp $(wildcard base/*.cpp formats/*.cpp tools/host/*.cpp patch/*.cpp) \
    $(filter-out $(HOST_SKIP),$(wildcard control/*.cpp))
build/tools/fake_guest: $(FAKE_GUEST_SOURCES:%=build/host/%.o)
	@mkdir -p $(@D)
	$(HOST_CXX) $(HOST_FLAGS) $^ -lsodium -o $@
HOST_OBJECTS += $(FAKE_GUEST_SOURCES:%=build/host/%.o)
