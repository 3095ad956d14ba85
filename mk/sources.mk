# Source packages of the distribution that become part of the image. They are compiled like the image's own sources, so
# that they can be patched like them, and lie outside build/: `make clean` leaves them.
#
# Versions and checksums are those of the upstream archives. What Debian's revisions change beyond them is in no function
# that the image uses.

# libsodium: the check of patches' signatures (patch/signature.cpp), and nothing else; the linker drops the rest.
SODIUM_VERSION := 1.0.18
SODIUM_SHA256 := d59323c6b712a1519a5daf710b68f5e7fde57040845ffec53850911f10a5d4f4
SODIUM_DIR := $(SOURCES_DIR)/libsodium-$(SODIUM_VERSION)
SODIUM_ROOT := $(SODIUM_DIR)/src/libsodium
SODIUM_SOURCES := $(addprefix $(SODIUM_ROOT)/,crypto_sign/ed25519/ref10/open.c crypto_sign/ed25519/ref10/sign.c \
    crypto_core/ed25519/ref10/ed25519_ref10.c crypto_hash/sha512/cp/hash_sha512_cp.c crypto_verify/sodium/verify.c \
    sodium/utils.c)
SODIUM_OBJECTS := $(SODIUM_SOURCES:$(SODIUM_ROOT)/%=build/image/libsodium/%.o)
# What its configure script would find here; and with small copies done in place. Headers of system folders are missing
# in dependency files, and a patch would not see that they were edited: hence -I.
SODIUM_FLAGS := -w -fbuiltin -I $(SODIUM_ROOT)/include -I $(SODIUM_ROOT)/include/sodium -DCONFIGURED -DHAVE_TI_MODE \
    -DNATIVE_LITTLE_ENDIAN

flags.patch/signature.cpp := -I $(SODIUM_ROOT)/include
build/image/patch/signature.cpp.o: | $(SODIUM_DIR)/ready

$(SODIUM_DIR)/ready:
	@mk/fetch_source.sh $(SOURCES_DIR) libsodium $(SODIUM_VERSION) $(SODIUM_SHA256)
$(SODIUM_SOURCES): | $(SODIUM_DIR)/ready ;

.PHONY: sources
sources: $(SODIUM_DIR)/ready  ## fetch the source packages that the image is built with
