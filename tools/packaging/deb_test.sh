#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the packages and looks at them. Usage: deb_test.sh BUILD PREFIX
# Exit status 77: not here, because the build is for another prefix than a package's.
set -euo pipefail
build=$1 prefix=$2
[ "$prefix" = /usr ] || { echo "skipped: packages are made with the prefix /usr"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() {
  echo "$*"
  exit 1
}
# A package that nobody keeps need not be small.
(cd "$folder" && cpack -G DEB --config "$build/CPackConfig.cmake" \
  -D CPACK_DEBIAN_COMPRESSION_TYPE=gzip -D CPACK_PACKAGE_DIRECTORY="$folder/made" >cpack.log) ||
  { cat "$folder/cpack.log"; exit 1; }
package() { find "$folder" -maxdepth 2 -name "strongroom-$1_*.deb"; }
contents() { dpkg-deb --contents "$(package "$1")"; }
field() { dpkg-deb --field "$(package "$1")" "$2"; }

holds() {
  local listed
  listed=$(contents "$1")
  for file in "${@:2}"; do
    grep -q " \./$file$" <<<"$listed" || fail "strongroom-$1 lacks $file"
  done
}
depends() {
  local on
  on=$(field "$1" Depends)
  for library in "${@:2}"; do
    grep -qE "(^|, )$library( |,|$)" <<<"$on" || fail "strongroom-$1 does not depend on $library: $on"
  done
}
holds host usr/lib/strongroom/swtpm/swtpm usr/lib/strongroom/swtpm/swtpm_setup usr/share/man/man1/vtpmctl.1.gz
holds host usr/sbin/vtpmd usr/bin/vtpmctl usr/bin/vtpm-instance etc/vtpmd/vtpmd.toml etc/vtpmd/conf.d/ \
  usr/lib/systemd/system/vtpmd.service usr/lib/systemd/system/vtpmd.socket usr/lib/sysusers.d/vtpmd.conf \
  usr/lib/tmpfiles.d/vtpmd.conf usr/lib/udev/rules.d/60-vtpmd.rules usr/share/doc/strongroom-host/copyright
holds broker usr/sbin/keybrokerd etc/keybrokerd/keybrokerd.toml etc/keybrokerd/conf.d/ \
  usr/lib/systemd/system/keybrokerd.service usr/lib/sysusers.d/keybrokerd.conf
holds tools usr/bin/vmgs usr/share/man/man1/vmgs.1.gz usr/share/bash-completion/completions/vmgs usr/bin/kbctl usr/bin/attest usr/bin/skr-sidecar
holds simulator usr/bin/vtpm-instance-sim
holds simulator usr/bin/simulated-machine
depends host systemd libc6 libtpms0 libssl3 libsqlite3-0 libsystemd0
depends broker systemd libc6 libpq5 libssl3 libsqlite3-0
depends tools libc6 libssl3
[ "$(field host Architecture)" = "$(dpkg --print-architecture)" ] || fail "the architecture is wrong"

for kind in host broker tools simulator; do
  contents $kind | awk '$2 != "root/root" { print; bad = 1 } END { exit bad }' ||
    fail "strongroom-$kind has files that are not root's"
  dpkg-deb --extract "$(package $kind)" "$folder/$kind"
done

# The simulator is in the package that says so, and under no name in another. Programs in a package
# have no symbols; a text of the simulator's is in every build of it.
trace='the simulated SNP firmware'
grep -rqa "$trace" "$folder/simulator" || fail "no trace of the simulator where it is"
if grep -rla "$trace" "$folder/host" "$folder/broker" "$folder/tools"; then fail "this holds the simulator"; fi

for daemon in host:vtpmd broker:keybrokerd; do
  kind=${daemon%:*} name=${daemon#*:}
  dpkg-deb --control "$(package $kind)" "$folder/control-$kind"
  [ "$(cat "$folder/control-$kind/conffiles")" = "/etc/$name/$name.toml" ] ||
    fail "the configuration of strongroom-$kind is no conffile"
  for script in postinst prerm postrm; do
    [ -x "$folder/control-$kind/$script" ] && sh -n "$folder/control-$kind/$script" ||
      fail "$script of strongroom-$kind does not run"
  done
done
if command -v lintian >/dev/null; then
  TMPDIR=$folder lintian --allow-root --fail-on error "$folder"/made/*.deb
fi
