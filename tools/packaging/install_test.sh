#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into a scratch root and starts what was installed. Usage: install_test.sh BUILD PREFIX
set -euo pipefail
build=$1 prefix=$2
root=$(mktemp -d)
vtpmd_pid=
cleanup() {
  if [ -n "$vtpmd_pid" ]; then kill "$vtpmd_pid" 2>/dev/null || true; wait "$vtpmd_pid" || true; fi
  rm -rf "$root"
}
trap cleanup EXIT
DESTDIR=$root cmake --install "$build" >/dev/null
installed=$root$prefix

missing=0
for file in sbin/vtpmd sbin/keybrokerd bin/kbctl bin/vtpmctl bin/vtpm-instance bin/vmgs bin/vmgstool share/man/man1/vmgs.1.gz \
  share/bash-completion/completions/vmgs share/zsh/vendor-completions/_vmgs share/fish/vendor_completions.d/vmgs.fish lib/systemd/system/vtpmd.service \
  lib/systemd/system/vtpmd.socket lib/sysusers.d/vtpmd.conf lib/tmpfiles.d/vtpmd.conf \
  lib/systemd/system/keybrokerd.service lib/sysusers.d/keybrokerd.conf lib/udev/rules.d/60-vtpmd.rules share/doc/strongroom/LICENSE; do
  [ -f "$installed/$file" ] || { echo "not installed: $prefix/$file"; missing=1; }
done
[ $missing -eq 0 ]
if find "$root" -name '*-sim*' | grep .; then
  echo "the simulator is installed without being asked for"
  exit 1
fi

for program in sbin/vtpmd sbin/keybrokerd bin/kbctl bin/vtpmctl bin/vtpm-instance bin/vmgs; do
  "$installed/$program" --help | grep -q "${program#*/}" || { echo "$program --help"; exit 1; }
  "$installed/$program" --version | grep -qE '[0-9]+\.[0-9]+\.[0-9]+$' ||
    { echo "$program --version"; exit 1; }
done

# Under its second name the tool takes the command line of the reference.
"$installed/bin/vmgstool" create -f "$root/made.vmgs" >/dev/null
"$installed/bin/vmgstool" query-encryption -f "$root/made.vmgs" >/dev/null 2>&1 && exit 1
bash -n "$installed/share/bash-completion/completions/vmgs"

# What systemd thinks of the units, with its own targets around them.
if [ "$prefix" = /usr ] && command -v systemd-analyze >/dev/null && [ -d /usr/lib/systemd/system ]; then
  cp -a /usr/lib/systemd/system/*.target "$installed/lib/systemd/system/"
  mkdir "$root/bin" && cp /bin/kill "$root/bin/"
  # A key that it does not know is a warning to it, and a service less confined to us.
  said=$(systemd-analyze verify --man=no --root="$root" vtpmd.service vtpmd.socket \
    keybrokerd.service 2>&1) || said+=" (failed)"
  [ -z "$said" ] || { echo "$said"; exit 1; }
fi

toml=$(find "$root" -name vtpmd.toml)
"$installed/bin/vtpmctl" config check --config "$toml"
broker_toml=$(find "$root" -name keybrokerd.toml)
"$installed/sbin/keybrokerd" config check --config "$broker_toml"
grep -q "^ExecStart=$prefix/sbin/keybrokerd run$" "$installed/lib/systemd/system/keybrokerd.service"
grep -q "^ExecStart=$prefix/sbin/vtpmd$" "$installed/lib/systemd/system/vtpmd.service"

# The daemon finds its instances beside it, wherever it was put.
mkdir "$root/run"
"$installed/sbin/vtpmd" --config "$toml" --state "$root/state" --runtime "$root/run" 2>"$root/log" &
vtpmd_pid=$!
timeout 20 sh -c "until [ -S '$root/run/vtpmd.sock' ]; do kill -0 $vtpmd_pid || exit 1; done" ||
  { cat "$root/log"; exit 1; }
"$installed/bin/vtpmctl" create web1 --socket "$root/run/vtpmd.sock" || { cat "$root/log"; exit 1; }
"$installed/bin/vtpmctl" stop web1 --socket "$root/run/vtpmd.sock"
