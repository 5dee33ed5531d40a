#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the guest that the system tests boot: Debian's cloud kernel, and an initramfs with busybox,
# tpm2-tools, cryptsetup, systemd-cryptenroll and the /init beside this script.
#
#   build.sh            prints the folder with vmlinuz and initramfs.img
#
# tpm2-tools and systemd are those of this machine; what is not installed here is downloaded by apt
# and unpacked into the cache, STRONGROOM_GUEST_CACHE or else ~/.cache/strongroom-guest. Nothing is
# installed. Exit status 77 where the packages cannot be had, which is an error where CI=true.
set -u  # no pipefail: a reader that has what it wants leaves its writer behind
here=$(cd "$(dirname "$0")" && pwd)
cache=${STRONGROOM_GUEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-guest}
triplet=x86_64-linux-gnu

unavailable() {
    echo "no guest can be built: $*" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 77
}

[ "$(uname -m)" = x86_64 ] || unavailable "only for x86_64"
for program in apt-cache apt-get dpkg-deb ldd tpm2 systemd-cryptenroll; do
    command -v "$program" >/dev/null || unavailable "no $program here"
done

candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p'; }
kernel=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
    sed -n 's/^ *Depends: *\(linux-image-[0-9].*\)$/\1/p')
[ -n "$kernel" ] || unavailable "apt knows no linux-image-cloud-amd64; run apt-get update"
packages=("$kernel" busybox-static cryptsetup-bin libcryptsetup12 libpopt0)
wanted=
for package in "${packages[@]}"; do
    version=$(candidate "$package")
    [ -n "$version" ] || unavailable "apt knows no $package"
    wanted+="$package=$version "
done

name=$({ cat "$here/build.sh" "$here/init"; echo "$wanted"; } | sha256sum | cut -c1-16)
out=$cache/$name
mkdir -p "$cache" || unavailable "no folder $cache"
exec {lock}>"$cache/lock"
flock "$lock"
[ -r "$out/initramfs.img" ] && { echo "$out"; exit 0; }

work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root" "$cache/debs"
for package in $wanted; do
    file=$cache/debs/$(echo "$package" | tr ':/' '__').deb
    if [ ! -r "$file" ]; then
        (mkdir "$work/one" && cd "$work/one" && apt-get -qq -o APT::Sandbox::User=root download "$package") \
            >"$work/log" 2>&1 || unavailable "no download of $package: $(tail -n 1 "$work/log")"
        mv "$work"/one/*.deb "$file" && rmdir "$work/one"
    fi
    dpkg-deb -x "$file" "$root" || unavailable "$file cannot be unpacked"
done

set -e
tree=$work/tree
mkdir -p "$tree"/{bin,dev,etc,proc,run,sys,tmp,modules,lib64} "$tree/lib/$triplet/cryptsetup"
libraries=$root/usr/lib/$triplet:$root/lib/$triplet
lib_path() {
    local folder
    for folder in "$root/usr/lib/$triplet" "$root/lib/$triplet" "/usr/lib/$triplet" /usr/lib/systemd; do
        [ -e "$folder/$1" ] && { echo "$folder/$1"; return; }
    done
    echo "no $1 here" >&2
    return 1
}
add_libraries_of() {
    local library
    LD_LIBRARY_PATH=$libraries ldd "$1" >"$work/ldd"
    if grep 'not found' "$work/ldd" >&2; then return 1; fi
    for library in $(sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' "$work/ldd"); do
        cp -Ln "$library" "$tree/lib/$triplet/"
    done
}
for program in /usr/bin/tpm2 "$root/sbin/cryptsetup" "$(command -v systemd-cryptenroll)"; do
    cp -L "$program" "$tree/bin/"
    add_libraries_of "$program"
done
# Opened by name.
for library in libtss2-tcti-device.so.0 libtss2-esys.so.0 libtss2-rc.so.0 libtss2-mu.so.0; do
    path=$(lib_path $library)
    cp -L "$path" "$tree/lib/$triplet/"
    add_libraries_of "$path"
done
plugin=/usr/lib/$triplet/cryptsetup/libcryptsetup-token-systemd-tpm2.so
cp -L $plugin "$tree/lib/$triplet/cryptsetup/"
add_libraries_of $plugin
cp -L /lib64/ld-linux-x86-64.so.2 "$tree/lib64/"
busybox=$(find "$root" -path '*/bin/busybox' -type f)
cp "$busybox" "$tree/bin/busybox"
ln -s busybox "$tree/bin/sh"
install -m 755 "$here/init" "$tree/init"

# A module after those it depends on; what is built in is not there.
add_module() {
    local name path depends depend
    for name in "$@"; do
        path=$(find "$root/lib/modules" -name "$name.ko" -o -name "${name//_/-}.ko" | sed -n 1p)
        [ -n "$path" ] || continue
        grep -qx "$(basename "$path")" "$tree/modules/order" && continue
        depends=$(tr '\0' '\n' <"$path" | sed -n 's/^depends=//p')
        for depend in ${depends//,/ }; do add_module "$depend"; done
        cp "$path" "$tree/modules/"
        basename "$path" >>"$tree/modules/order"
    done
}
: >"$tree/modules/order"
add_module virtio_pci virtio_blk aesni_intel ecb xts algif_skcipher dm_crypt tpm_tis tpm_crb efivarfs

mkdir -p "$work/done"
(cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | bin/busybox cpio -o -H newc -R 0:0 2>"$work/cpio.log" | gzip -1) \
    >"$work/done/initramfs.img"
cp "$root"/boot/vmlinuz-* "$work/done/vmlinuz"
mv "$work/done" "$out"
echo "$out"
