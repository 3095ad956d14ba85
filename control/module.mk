# These know the kernel and the drivers.
HOST_SKIP += control/kernel_system.cpp control/control_service.cpp
