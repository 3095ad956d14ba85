# How things are compiled: the image, the programs of the host, the tests.

CXX := $(CROSS_COMPILE)g++
CC := $(CROSS_COMPILE)gcc
LD := $(CROSS_COMPILE)ld
OBJCOPY := $(CROSS_COMPILE)objcopy
HOST_CXX := g++
CLANG ?= clang++-19
OPT ?= -O2
# The corpus compiles an image of its own with OPT (tests/corpus/baseline.py); the normal build is left alone.
ifneq ($(filter corpus,$(MAKECMDGOALS)),)
CORPUS_OPT := $(OPT)
override OPT := -O2
endif

# Fetched source packages (mk/sources.mk).
SOURCES_DIR ?= $(CURDIR)/build-sources
export SOURCES_DIR

# Equal objects in whatever folder, and nothing that depends on the time. The compiler takes the last map that fits, so a
# SOURCES_DIR within the tree and one outside give the same names.
STABLE_FLAGS := -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(SOURCES_DIR)=build-sources -Werror=date-time

WARNINGS := -Wall -Wextra -Wpedantic -Werror

# Freestanding code for the top 2 GiB. Frame pointers keep call-frame information exact around pushf/pop; statics in
# functions keep their guards (thread-safe), which the kernel provides.
MACHINE_FLAGS := -ffreestanding -mno-red-zone -mcmodel=kernel -fno-pic -fno-pie -fno-stack-protector \
    -fno-omit-frame-pointer -fasynchronous-unwind-tables -ffunction-sections -fdata-sections -fno-common \
    -fcf-protection=none

# What makes every function replaceable alone: no clones, no split-off parts, no tail calls, no facts about callees kept
# in callers.
PATCHABLE_FLAGS := -flive-patching=inline-clone -fno-ipa-sra -fno-ipa-cp -fno-partial-inlining \
    -fno-reorder-blocks-and-partition -fno-optimize-sibling-calls

# The call site: a 5-byte NOP at each entry. Permanent code has none.
SITE_FLAGS := -pg -mfentry -mnop-mcount

CXX_ONLY_FLAGS := -std=c++23 -fno-exceptions -fno-rtti -fno-gnu-unique -fuse-cxa-atexit
C_ONLY_FLAGS := -std=gnu17
KERNEL_FLAGS := -mgeneral-regs-only
# Applications may use SSE2; the context switch saves it.
APP_FLAGS := -msse2 -mno-avx

IMAGE_FLAGS := $(OPT) -g $(MACHINE_FLAGS) $(PATCHABLE_FLAGS) $(STABLE_FLAGS) $(WARNINGS) -iquote .
# Where -Os leaves std::expected's copies uninlined, GCC 12 takes the other alternative's bytes for uninitialised.
ifeq ($(OPT),-Os)
IMAGE_FLAGS += -Wno-maybe-uninitialized
endif
ASM_FLAGS := -g -fno-pic -fno-pie $(STABLE_FLAGS) -iquote . -Wa,--noexecstack
LINK_FLAGS := -nostdlib -static -no-pie -z max-page-size=0x1000 -z noexecstack --gc-sections --orphan-handling=error \
    --fatal-warnings -L mk -T linker.ld

# On the host lines are enough to know where something was.
HOST_FLAGS := -std=c++23 -O2 -g1 $(WARNINGS) -iquote . -pthread
CHECK_FLAGS := -std=c++23 -O1 -g1 $(WARNINGS) -iquote . -pthread -fno-omit-frame-pointer \
    -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_FLAGS := -std=c++23 -O1 -gline-tables-only -iquote . -fno-omit-frame-pointer \
    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
