#!/usr/bin/env bash
# Fetches a source package of the distribution, compares its upstream archive with a checksum and unpacks it.
#
#   mk/fetch_source.sh FOLDER NAME VERSION SHA256      then: FOLDER/NAME-VERSION/, and its file `ready`
#
# The system's package sources stay as they are: apt-get gets a private copy of them that asks for source packages. An
# archive that lies in FOLDER already is taken as it is, so a machine without network can be given it.
set -euo pipefail

folder=$1 name=$2 version=$3 checksum=$4
mkdir -p "$folder"
folder=$(realpath "$folder")
archive=${name}_$version.orig.tar.gz
unpacked=$folder/$name-$version

give_up() {
    cat >&2 <<TEXT
$name $version can't be had: $1
The image is built with it. On a machine with network, 'mk/setup.sh' or 'make' fetches it from the distribution; without,
put $archive (SHA-256 $checksum)
into $folder and try again.
TEXT
    exit 1
}

exec 9>"$folder/.lock"
flock 9
if [ -e "$unpacked/ready" ]; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The configured package sources, as `deb-src`: stanzas (deb822) and one-line entries.
copy_package_sources() {
    local file
    mkdir -p "$work/parts" "$work/lists/partial"
    for file in /etc/apt/sources.list.d/*.sources; do
        if [ -e "$file" ]; then sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/parts/$(basename "$file")"; fi
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        if [ -e "$file" ]; then sed -n 's/^deb\(-src\)\?\([[:space:]]\)/deb-src\2/p' "$file" >"$work/parts/$(basename "$file" .list).list"; fi
    done
}

download() {
    command -v apt-get >/dev/null || give_up "no apt-get here"
    copy_package_sources
    local apt=(timeout 300 apt-get -q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/parts"
        -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User=root)
    mkdir -p "$work/cache/archives/partial" "$work/download"
    # A source that doesn't answer may be another than the one that is needed.
    (cd "$work/download" && "${apt[@]}" update && "${apt[@]}" source --download-only "$name") >"$work/log" 2>&1 || true
    if [ ! -e "$work/download/$archive" ]; then
        tail -n 5 "$work/log" >&2 || true
        give_up "the download gave no $archive"
    fi
    mv "$work/download/$archive" "$folder/$archive"
}

if [ ! -e "$folder/$archive" ]; then
    echo "Fetching the source of $name $version" >&2
    download
fi
if ! echo "$checksum  $folder/$archive" | sha256sum --status -c; then
    mv "$folder/$archive" "$folder/$archive.wrong"
    give_up "$archive has another checksum; it is kept as $archive.wrong"
fi
rm -rf "$unpacked"
tar -xf "$folder/$archive" -C "$folder" --no-same-owner
[ -d "$unpacked" ] || give_up "$archive doesn't hold a folder $name-$version"
touch "$unpacked/ready"
