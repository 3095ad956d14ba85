#!/usr/bin/env bash
# Builds a bare-metal x86_64-elf GCC 12 with C++ from the distribution's source packages.
#
#   mk/toolchain.sh FOLDER      then: make CROSS_COMPILE=x86_64-elf-
#
# Made: binutils, the C and C++ compilers, and the headers of a hosted libstdc++ with newlib's C headers below. A
# freestanding libstdc++ of GCC 12 lacks <expected>, <span>, <optional>, <array> and <string_view>, which the image uses;
# no library is built, since the image links none. About twenty minutes on two processors. A second run goes on where the
# first one stopped.
set -euo pipefail

prefix=$(realpath -m "${1:?usage: mk/toolchain.sh FOLDER}")
work=$prefix/work
target=x86_64-elf
jobs=${JOBS:-$(nproc)}
build_flags="-O1 -g0"

if [ -e "$prefix/done" ]; then
    echo "toolchain: $prefix/bin/$target-g++ is there"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "toolchain: needs Debian's packages gcc-12-source, binutils-source and newlib-source" >&2
    exit 1
fi

tools=(flex bison m4 xz-utils libgmp-dev libmpfr-dev libmpc-dev zlib1g-dev)
missing=()
for package in "${tools[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -ne 0 ]; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
    echo "Installing: ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi

mkdir -p "$work"
export PATH="$prefix/bin:$PATH"
export MAKEFLAGS="-j$jobs"
unset MAKELEVEL MAKEOVERRIDES

# $1 = name, then the command; done once, its output kept in a file that is shown on failure.
step() {
    local name=$1
    shift
    if [ -e "$work/$name.done" ]; then return; fi
    echo "  $name"
    # In the background, since `set -e` has no effect inside a condition.
    (set -e; cd "$work"; "$@") >"$work/$name.log" 2>&1 &
    if ! wait $!; then
        tail -n 30 "$work/$name.log" >&2
        echo "toolchain: $name failed; everything it said is in $work/$name.log" >&2
        exit 1
    fi
    touch "$work/$name.done"
}

fetch() {
    rm -rf packages && mkdir packages
    (cd packages && apt-get download gcc-12-source binutils-source newlib-source)
    for package in packages/*.deb; do dpkg-deb -x "$package" packages/root; done
    local archive name
    for archive in packages/root/usr/src/{gcc-12/gcc-12,binutils/binutils,newlib/newlib}*.tar.xz; do
        name=$(basename "$(dirname "$archive")")
        rm -rf "$name" && mkdir "$name"
        tar -xf "$archive" -C "$name" --strip-components=1
    done
    rm -rf packages
}

build_binutils() {
    rm -rf build-binutils && mkdir build-binutils && cd build-binutils
    ../binutils/configure --target=$target --prefix="$prefix" --disable-nls --disable-werror --disable-gdb --disable-gdbserver \
        --disable-sim --disable-gprofng --disable-gprof CFLAGS="$build_flags" CXXFLAGS="$build_flags"
    make MAKEINFO=true
    make MAKEINFO=true install
}

configure_gcc() {
    rm -rf build-gcc && mkdir build-gcc && cd build-gcc
    ../gcc-12/configure --target=$target --prefix="$prefix" --enable-languages=c,c++ --disable-bootstrap --disable-nls \
        --disable-multilib --disable-shared --disable-threads --disable-lto --disable-plugin --disable-libssp \
        --disable-libquadmath --disable-libgomp --enable-initfini-array --enable-checking=release --without-isl --with-newlib --with-system-zlib \
        CFLAGS="$build_flags" CXXFLAGS="$build_flags"
}

# The packaged source comes without its manual, which the build would compare with what it generates: say it was done.
build_gcc() {
    cd build-gcc
    make MAKEINFO=true configure-gcc all-build-libiberty all-libiberty all-libcpp all-libdecnumber all-libbacktrace
    make -C gcc build/genhooks
    touch gcc/s-tm-texi
    make MAKEINFO=true all-gcc
}

# Without the manual pages, which aren't there to be installed.
install_gcc() {
    make -C build-gcc/gcc MAKEINFO=true install-common install-driver install-cpp install-headers
}

c_headers() {
    mkdir -p "$prefix/$target/include"
    cp -r newlib/newlib/libc/include/. "$prefix/$target/include/"
    if [ -d newlib/newlib/libc/machine/x86_64/machine ]; then
        cp -r newlib/newlib/libc/machine/x86_64/machine/. "$prefix/$target/include/machine/"
    fi
    # What newlib's configuration would tell its headers: here only that long double is a type of its own.
    echo '#define _HAVE_LONG_DOUBLE 1' >"$prefix/$target/include/newlib.h"
    cp "$prefix/$target/include/newlib.h" "$prefix/$target/include/_newlib_version.h"
}

cxx_headers() {
    rm -rf build-headers && mkdir build-headers && cd build-headers
    local include
    include=$prefix/$target/include/c++/$($target-gcc -dumpversion)
    # The functions that it would look for by linking a program.
    ac_cv_func_fcntl=no ac_cv_func_getexecname=no ../gcc-12/libstdc++-v3/configure --host=$target --prefix="$prefix" --with-newlib --disable-multilib --disable-nls \
        --disable-libstdcxx-pch --disable-shared --with-cross-host --with-gxx-include-dir="$include" \
        CC=$target-gcc CXX=$target-g++ CFLAGS="-g0 -ffreestanding" CXXFLAGS="-g0 -ffreestanding"
    make -C include
    make -C include install
    make -C libsupc++ install-bitsHEADERS install-stdHEADERS
}

step fetch fetch
step binutils build_binutils
step gcc-configure configure_gcc
step gcc build_gcc
step gcc-install install_gcc
step c-headers c_headers
step cxx-headers cxx_headers

check=$work/check.cpp
cat >"$check" <<'TEXT'
#include <array>
#include <atomic>
#include <charconv>
#include <cstring>
#include <expected>
#include <optional>
#include <span>
#include <string_view>
std::expected<int, char> probe(std::span<const int> list) { return list.empty() ? 0 : list[0]; }
TEXT
"$target-g++" -std=c++23 -ffreestanding -mcmodel=kernel -fno-exceptions -fno-rtti -mgeneral-regs-only -pg -mfentry \
    -mnop-mcount -fsyntax-only "$check"
touch "$prefix/done"
rm -rf "$work"
echo "toolchain: $prefix/bin/$target-g++ $("$target-gcc" -dumpversion)"
