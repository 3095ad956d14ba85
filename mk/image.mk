# Images. Every image is the kernel (all floors below the application) and one application.
#
#   build/image/PATH.o       objects of the repository's sources, shared by all images
#   build/NAME/              what belongs to one image: link maps, earlier links, tables, objects of a folder outside
#   build/NAME/baseline/     what it was made of, for `graft build`: sources, objects, commands, image, map
#   build/NAME.elf           the finished image
#
# The link is done three times. In the plain image inittext sees what only runs while it boots, which the next links place
# apart. The first image has empty tables; imagetables reads it and writes the tables; the second link puts them in,
# behind everything else, and check-link proves that nothing moved. The build-id is the first link's SHA-1: it is a
# function of all the content, and known before the tables that carry it.

FLOORS := base formats arch patch kernel drivers control boot
find_sources = $(sort $(shell find -L $(or $(wildcard $1),/dev/null) -name patches -prune -o \( -name '*.cpp' -o -name '*.c' -o -name '*.S' \) -print))
KERNEL_SOURCES := $(foreach floor,$(FLOORS),$(call find_sources,$(floor)))
PERMANENT_SOURCES := $(filter arch/x86_64/permanent/%,$(KERNEL_SOURCES))
# The linker keeps the first copy of an inline function: the floors' (general registers only) rather than an
# application's, and one with a call site rather than permanent code's, where the check of the no-patch list names it.
ORDERED_SOURCES := $(filter-out $(PERMANENT_SOURCES),$(KERNEL_SOURCES)) $(PERMANENT_SOURCES)
KERNEL_OBJECTS := $(ORDERED_SOURCES:%=build/image/%.o) $(SODIUM_OBJECTS) build/image/keys/trusted_keys.cpp.o

# Whom an image trusts. KEYS: public key files, or folders of them; empty: nobody. UNSIGNED=serial: unsigned patches are
# taken on the local serial line. SIGN: the secret key that made patches are signed with; empty: they stay unsigned.
KEYS ?= keys/development.pub
UNSIGNED ?=
SIGN ?= keys/development.key
SIGN_OPTION = $(if $(SIGN),--key $(SIGN))
KEY_FILES := $(foreach place,$(KEYS),$(or $(wildcard $(place)/*.pub),$(place)))

# $(call image_flags,SOURCE): what its place in the house asks for.
image_flags = $(IMAGE_FLAGS) \
    $(if $(filter arch/x86_64/permanent/%,$1),$(KERNEL_FLAGS),$(SITE_FLAGS) \
        $(if $(filter /% apps/% tests/guest/%,$(filter-out $(SOURCES_DIR)/%,$1)),$(APP_FLAGS),$(KERNEL_FLAGS))) $(flags.$1)
# $(call patch_flags,SOURCE,SSE): like the code that it replaces; SSE2 only when asked for, since kernel code must not.
patch_flags = $(CXX_ONLY_FLAGS) $(IMAGE_FLAGS) $(SITE_FLAGS) $(if $2,$(APP_FLAGS),$(KERNEL_FLAGS)) $(flags.$1)
DEPENDENCIES = -MMD -MP -MF $(@:.o=.d)
# $(call compile,SOURCE,MORE): the command without what names files.
compile = $(if $(filter %.S,$1),$(CC) $(ASM_FLAGS) $(flags.$1),$(if $(filter %.c,$1),$(CC) $(C_ONLY_FLAGS),$(CXX) $(CXX_ONLY_FLAGS)) \
    $(call image_flags,$1)) $2

# Rewrites $2 only when its content would change, so that what depends on it is remade exactly then.
define keep_current
$(shell mkdir -p $(dir $2); printf '%s\n' '$(subst ','\'',$1)' | cmp -s - $2 || printf '%s\n' '$(subst ','\'',$1)' >$2)
endef
# The maps of folders' names don't count: they are what makes objects equal wherever they are made.
$(call keep_current,$(filter-out -ffile-prefix-map=%,$(CXX) $(CC) $(LD) $(CXX_ONLY_FLAGS) $(C_ONLY_FLAGS) $(IMAGE_FLAGS) \
    $(SITE_FLAGS) $(KERNEL_FLAGS) $(APP_FLAGS) $(ASM_FLAGS) $(LINK_FLAGS)),build/image/flags)

# The image's compiler decides what the objects are: its version is part of what they depend on.
define compile_rules
$1/%.cpp.o: $2%.cpp build/image/flags
	@mkdir -p $$(@D)
	$$(call run,CXX,$$@)$$(call compile,$$<,$3) $$(DEPENDENCIES) -c $$< -o $$@
$1/%.c.o: $2%.c build/image/flags
	@mkdir -p $$(@D)
	$$(call run,CC,$$@)$$(call compile,$$<,$3) $$(DEPENDENCIES) -c $$< -o $$@
$1/%.S.o: $2%.S build/image/flags
	@mkdir -p $$(@D)
	$$(call run,AS,$$@)$$(call compile,$$<,$3) $$(DEPENDENCIES) -c $$< -o $$@
endef
$(eval $(call compile_rules,build/image,,))
$(eval $(call compile_rules,build/image/libsodium,$(SODIUM_ROOT)/,$(SODIUM_FLAGS)))
$(eval $(call compile_rules,build/image/keys,build/keys/))

$(call keep_current,$(KEYS) $(UNSIGNED),build/keys/choice)
$(call keep_current,$(SIGN),build/keys/sign)
build/keys/trusted_keys.cpp: mk/trusted_keys.py build/keys/choice keys/development.pub $(KEY_FILES)
	@python3 mk/trusted_keys.py $@ keys/development.pub '$(UNSIGNED)' $(KEYS)

# One record an object, and one for new sources in each folder: what mk/record_baseline.py keeps. $(call records,SOURCES,
# OBJECT FOLDER,WHAT IT REPLACES,MORE FLAGS)
define records
$(foreach source,$1,$(source:$3%=$2/%.o)	$(source)	$(call compile,$(source),$4)
)$(foreach folder,$(sort $(dir $1)),$(foreach suffix,.cpp .c,-	$(folder)new$(suffix)	$(call compile,$(folder)new$(suffix),$4)
))
endef

# Forgets what was made from another folder of the same name, which may have been moved or be older than its objects.
define keep_folder
$(shell [ "$$(cat $2/folder 2>/dev/null)" = '$1' ] || { rm -rf $2/app $2/patches; mkdir -p $2; echo '$1' >$2/folder; })
endef

# $(call image,NAME,FOLDER): the rules of one image. A folder outside the repository (an absolute path) has its objects
# in build/NAME/app/ and may include its own files by their names alone.
define image
$(if $(filter /%,$2),$(call keep_folder,$2,build/$1))
$1_SOURCES := $(call find_sources,$2)
$1_OBJECTS := $(if $(filter /%,$2),$$($1_SOURCES:$2/%=build/$1/app/%.o),$$($1_SOURCES:%=build/image/%.o))
$1_FLAGS := $(if $(filter /%,$2),-iquote $2 -ffile-prefix-map=$2=app)
$(if $(filter /%,$2),$(call compile_rules,build/$1/app,$2/,$$($1_FLAGS)))
$$(call keep_current,$$(KERNEL_OBJECTS) $$($1_OBJECTS),build/$1/objects)

build/$1/plain.elf: $$(KERNEL_OBJECTS) $$($1_OBJECTS) build/image/mk/image_tables.S.o linker.ld mk/init_text.ld build/$1/objects
	$$(call run,LINK,$$@)$$(LD) $$(LINK_FLAGS) --build-id=sha1 --strip-debug -Map=build/$1/plain.map $$(filter %.o,$$^) -o $$@
build/$1/init_text.ld: build/$1/plain.elf build/tools/inittext
	$$(call run,INIT,$$@)build/tools/inittext list $$< build/$1/plain.map $$@
build/$1/first.elf: $$(KERNEL_OBJECTS) $$($1_OBJECTS) build/image/mk/image_tables.S.o linker.ld build/$1/init_text.ld build/$1/objects
	$$(call run,LINK,$$@)$$(LD) -L build/$1 $$(LINK_FLAGS) --build-id=sha1 $$(filter %.o,$$^) -o $$@
build/$1/tables.bin: build/$1/first.elf build/tools/imagetables
	$$(call run,TABLES,$$@)build/tools/imagetables write $$< $$@
build/$1/tables.o: build/$1/tables.bin mk/image_tables.S
	@$$(CC) -Wa,--noexecstack -DGRAFT_TABLES='"build/$1/tables.bin"' -c mk/image_tables.S -o $$@
build/$1.elf: build/$1/first.elf build/$1/tables.o mk/record_baseline.py
	$$(call run,LINK,$$@)$$(LD) -L build/$1 $$(LINK_FLAGS) --build-id=0x$$$$(build/tools/imagetables build-id $$<) -Map=build/$1/map \
	    $$(KERNEL_OBJECTS) $$($1_OBJECTS) build/$1/tables.o -o build/$1/second.elf
	@build/tools/imagetables check-link $$< build/$1/second.elf
	@build/tools/inittext check build/$1/second.elf >/dev/null
	$$(file >build/$1/commands,$$(call records,$$(KERNEL_SOURCES),build/image)$$(call records,$$(SODIUM_SOURCES),build/image/libsodium,$$(SODIUM_ROOT)/,$$(SODIUM_FLAGS))$$(if $$(filter /%,$2),$$(call records,$$($1_SOURCES),build/$1/app,$2/,$$($1_FLAGS)),$$(call records,$$($1_SOURCES),build/image)))
	@python3 mk/record_baseline.py build/$1/commands build/$1/baseline build/$1/second.elf build/$1/map $2 $$(SOURCES_DIR) $$(FLOORS)
	@mv build/$1/second.elf $$@

build/$1.iso: build/$1.elf iso/grub.cfg.in
	@rm -rf build/$1/iso && mkdir -p build/$1/iso/boot/grub
	$$(call run,ISO,$$@)$$(OBJCOPY) --strip-debug $$< build/$1/iso/boot/graft.elf
	@sed 's|@CMDLINE@|$$(CMDLINE)|' iso/grub.cfg.in >build/$1/iso/boot/grub/grub.cfg
	@grub-mkrescue -o $$@ build/$1/iso >build/$1/iso.log 2>&1 || { cat build/$1/iso.log >&2; exit 1; }

# Patches by hand that lie with the application: FOLDER/patches/x.cpp becomes build/NAME/patches/x.klp.
$1_PATCHES := $(patsubst $2/patches/%.cpp,build/$1/patches/%.klp,$(wildcard $2/patches/*.cpp))
build/$1/patches/%.o: $2/patches/%.cpp build/image/flags
	@mkdir -p $$(@D)
	$$(call run,CXX,$$@)$$(CXX) $$(call patch_flags,$$<,$$(sse.$$<)) $$(DEPENDENCIES) -c $$< -o $$@
build/$1/patches/%.klp: build/$1/patches/%.o build/$1.elf build/tools/mkpatch build/keys/sign $(SIGN)
	$$(call run,PATCH,$$@)build/tools/mkpatch $$(SIGN_OPTION) --image build/$1.elf $$< -o $$@
.PRECIOUS: build/$1/patches/%.o
DEPENDENCY_FILES += $$($1_OBJECTS:.o=.d) $$($1_PATCHES:.klp=.d)
endef

APP_NAMES := $(notdir $(patsubst %/,%,$(wildcard apps/*/)))
# tests/guest/shared/ has headers for the others.
GUEST_TESTS := $(filter-out shared,$(notdir $(patsubst %/,%,$(wildcard tests/guest/*/))))
$(foreach name,$(APP_NAMES),$(eval $(call image,$(name),apps/$(name))))
$(foreach name,$(GUEST_TESTS),$(eval $(call image,test-$(name),tests/guest/$(name))))
ifeq ($(wildcard $(APP_DIR)/),)
$(error $(APP_DIR): no such folder; the repository has the applications $(APP_NAMES))
endif
ifeq ($(filter apps/%,$(APP_DIR)),)
$(if $(filter $(APP_NAME),$(APP_NAMES)),$(error $(APP_DIR): an application of the repository has that name, too))
$(eval $(call image,$(APP_NAME),$(APP_DIR)))
endif

.PHONY: patches images guest_images
patches: $($(APP_NAME)_PATCHES)  ## the patches in the application's folder patches/
guest_images: $(GUEST_TESTS:%=build/test-%.elf) $(foreach name,$(GUEST_TESTS),$(test-$(name)_PATCHES))
images: $(IMAGE) guest_images

DEPENDENCY_FILES += $(KERNEL_OBJECTS:.o=.d)
-include $(sort $(DEPENDENCY_FILES))
