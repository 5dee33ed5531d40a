#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `vmgs` takes beside what the machine allows; judges nothing:
#
#   fleet.sh VMGS [FILES] [FOLDER]
#
# `vmgs fleet` with `check`, over FILES (10000) encrypted stores of 256 KiB with files in them, beside
# reading the same files with `cat`, both with the files out of the page cache and again with them in
# it; and `vmgs info` of a store of 4 MiB that is almost full, beside `vmgs read`, which reads and
# decrypts it. FOLDER has to be on the disk that is meant.
set -euo pipefail
vmgs=$1 files=${2:-10000}
work=$(mktemp -d "${3:-/var/tmp}/fleet-XXXXXX")
trap 'rm -rf "$work"' EXIT
umask 077
printf '%064d' 5 >"$work/key"

seconds() {
  local begun ended
  begun=$(date +%s%N)
  "$@" >/dev/null
  ended=$(date +%s%N)
  local ms=$(((ended - begun) / 1000000))
  printf '%d.%03d' $((ms / 1000)) $((ms % 1000))
}
evict() {
  sync -f "$work"
  find "$work/vms" -type f -exec sh -c 'for f; do dd of="$f" oflag=nocache conv=notrunc,fdatasync count=0 2>/dev/null; done' sh {} +
}
cat_all() { find "$work/vms" -type f -exec cat {} +; }
fleet() { "$vmgs" fleet --match "$work/vms/*" --jobs "$(nproc)" check '{}' --key "$work/key"; }

"$vmgs" create "$work/one" --size 256KiB --key "$work/key"
head -c 150000 /dev/urandom | "$vmgs" write "$work/one" 45 --key "$work/key" --no-undo
mkdir "$work/vms"
for ((i = 0; i < files; ++i)); do echo "$work/vms/$i.vmgs"; done | xargs -n 500 sh -c 'tee "$@" <"$0" >/dev/null' "$work/one"
evict
echo "cat of $files files, from the disk: $(seconds cat_all) s"
evict
echo "vmgs fleet check of them, from the disk: $(seconds fleet) s"
echo "cat of them, from memory: $(seconds cat_all) s"
echo "vmgs fleet check of them, from memory: $(seconds fleet) s"

"$vmgs" create "$work/large" --size 4MiB --key "$work/key"
head -c 4000000 /dev/urandom | "$vmgs" write "$work/large" 45 --key "$work/key" --no-undo
times() { for ((i = 0; i < 50; ++i)); do "$@"; done; }
echo "vmgs read of 4 MB that are encrypted, 50 times: $(seconds times "$vmgs" read "$work/large" 45 --key "$work/key") s"
echo "vmgs info of that store, 50 times: $(seconds times "$vmgs" info "$work/large" --key "$work/key") s"
echo "vmgs --version, 50 times: $(seconds times "$vmgs" --version) s"
