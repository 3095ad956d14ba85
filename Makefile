# Graft's build. `make help` lists the targets; everything is made under build/.
#
#   mk/flags.mk   how things are compiled, and why
#   mk/sources.mk source packages of the distribution that the image is built with
#   mk/image.mk   the images: objects, two links with the tables between, patches, ISO
#   mk/host.mk    the host command, tools, unit tests, simulation, fuzzers
#   mk/check.mk   tests, lint, measuring targets
#
# A file joins by lying in its folder. What differs is said in the folder's module.mk:
#   flags.FILE := …      more compiler flags for one source of the image
#   check_flags.FILE …   more compiler flags for one source of the unit tests
#   HOST_SRCS += FILE…   sources of a floor above patch/ that the unit tests link as well
#   HOST_SKIP += FILE…   sources of control/ that don't link on the host
#   NAME_dir, LIBS_dir   of tools/dir: the program's name if not the folder's, the libraries it wants
#   SRCS_dir, BASE_dir   sources of other folders that it links as well; what it takes instead of base/ and formats/
#   TESTED += FILE…      a tool's sources that the unit tests link

APP ?= demo
CROSS_COMPILE ?=
TOOLCHAIN_DIR ?= $(CURDIR)/build-toolchain

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
# Parallel unless said otherwise; while a makefile is read, MAKEFLAGS doesn't show a -j of the command line yet.
ifeq ($(MAKELEVEL)$(filter -j% --jobs%,$(shell tr '\0' ' ' </proc/$$PPID/cmdline)),0)
MAKEFLAGS += -j$(shell nproc)
endif
export PATH := $(TOOLCHAIN_DIR)/bin:$(PATH)
export GRAFT_ACCEL

# The application: a name in apps/, or the path of any folder.
APP_DIR := $(patsubst $(CURDIR)/%,%,$(abspath $(if $(findstring /,$(APP)),$(APP),apps/$(APP))))
APP_NAME := $(notdir $(APP_DIR))
IMAGE := build/$(APP_NAME).elf

.DEFAULT_GOAL := all

# One short line a command; V=1 shows the commands themselves.
run = $(if $(V),,@printf '  %-8s%s\n' '$1' '$2'; )

# What demo and test need is installed before anything else is looked at.
ifneq ($(filter setup demo test,$(MAKECMDGOALS)),)
ifeq ($(findstring n,$(firstword -$(MAKEFLAGS))),)
$(shell mk/setup.sh >&2)
ifneq ($(.SHELLSTATUS),0)
$(error some packages are missing; see above)
endif
endif
endif

include mk/flags.mk
include mk/sources.mk
-include $(wildcard base/module.mk formats/module.mk arch/module.mk arch/x86_64/module.mk patch/module.mk kernel/module.mk drivers/module.mk \
    control/module.mk boot/module.mk apps/*/module.mk tools/*/module.mk tests/*/module.mk tests/guest/*/module.mk)
include mk/image.mk
include mk/host.mk
include mk/check.mk

.PHONY: all setup help clean install run demo iso patch toolchain

all: $(IMAGE) build/$(APP_NAME).iso build/graft tools $(if $(filter demo,$(APP_NAME)),patches) build/compile_commands.json  ## image, ISO and host command of APP (default: demo)

setup: sources  ## install the packages that are missing (asks for sudo if needed), fetch sources

iso: build/$(APP_NAME).iso  ## the bootable ISO, for BIOS and UEFI

run: $(IMAGE) build/graft  ## boot the image in QEMU, console on the terminal
	build/graft run $(IMAGE) $(if $(SMP),--smp $(SMP)) $(RUN_ARGS)

demo: build/demo.iso build/demo.elf build/graft  ## build, boot, patch the running system from a diff, unpatch
	@tools/demo.sh

patch: $(IMAGE) build/tools/mkpatch  ## a hand-made patch: SRC=file.cpp OUT=file.klp [APP=name] [SSE=1] [SIGN=file.key]
	@test -n "$(SRC)" -a -n "$(OUT)" || { echo 'usage: make patch SRC=file.cpp OUT=file.klp [APP=name] [SSE=1] [SIGN=file.key]' >&2; exit 2; }
	@mkdir -p build/$(APP_NAME)/patch $(dir $(OUT))
	$(CXX) $(call patch_flags,$(SRC),$(SSE)) -c $(SRC) -o build/$(APP_NAME)/patch/$(notdir $(SRC)).o
	build/tools/mkpatch $(SIGN_OPTION) --image $(IMAGE) build/$(APP_NAME)/patch/$(notdir $(SRC)).o -o $(OUT)

toolchain:  ## build the x86_64-elf cross toolchain into TOOLCHAIN_DIR
	mk/toolchain.sh $(TOOLCHAIN_DIR)

PREFIX ?= /usr/local
install: build/graft tools  ## install the host command, mkpatch, man page and completion under PREFIX (DESTDIR is honoured)
	install -D -m 755 build/graft $(DESTDIR)$(PREFIX)/bin/graft
	install -D -m 755 build/tools/mkpatch $(DESTDIR)$(PREFIX)/bin/graft-mkpatch
	@mkdir -p build/install
	build/graft man >build/install/graft.1
	build/graft completion bash >build/install/graft.bash
	install -D -m 644 build/install/graft.1 $(DESTDIR)$(PREFIX)/share/man/man1/graft.1
	install -D -m 644 build/install/graft.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/graft

clean:  ## remove build/
	rm -rf build

help:  ## this list
	@echo 'make [TARGET] [APP=name-or-folder] [CROSS_COMPILE=x86_64-elf-] [OPT=-O2]'
	@sed -n 's/^\([a-z][a-z_-]*\):.*  ## \(.*\)/  \1\t\2/p' Makefile mk/*.mk | expand -t 16
