#!/usr/bin/env bash
# Installs what the build and the tests need and is missing. Does nothing, quickly, when nothing is.
set -euo pipefail

packages=(
    g++ gcc make binutils
    qemu-system-x86 grub-pc-bin grub-efi-amd64-bin grub-common xorriso mtools ovmf
    libelf-dev libdw-dev zlib1g-dev libzydis-dev libcli11-dev libfmt-dev libgtest-dev libsodium-dev
    shellcheck spin clang-19 clang-format-19 clang-tidy-19 libclang-rt-19-dev
    python3 git
)

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    cat <<TEXT
This is no Debian-like system, so packages can't be installed for you. Needed, by their Debian 12 names:
  ${packages[*]}
The build goes on and uses what it finds.
TEXT
    exit 0
fi

missing=()
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
for package in "${packages[@]}"; do
    grep -qx "$package installed" <<<"$installed" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Please install as root: apt-get install ${missing[*]}"
        exit 1
    fi
    as_root=(sudo)
fi

echo "Installing: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get "$@" >"$log" 2>&1
}
if ! install install -y -q --no-install-recommends "${missing[@]}"; then
    # The lists of packages may be old or absent.
    if ! install update -q || ! install install -y -q --no-install-recommends "${missing[@]}"; then
        tail -n 20 "$log"
        echo "Packages could not be installed; please install by hand: ${missing[*]}"
        exit 1
    fi
fi
