#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs suites of an end-to-end check of vTPM services, run-e2e.sh, with VMs of a vtpmd:
#
#   e2e_under_vtpmd.sh RUN_E2E VTPMD VTPMCTL VTPM_INSTANCE [SUITE...]
#
# The check starts a service to a VM's state folder and control socket, and expects it to run while the
# VM does. Here that is this script once more (--vm FOLDER SOCKET): it creates the VM of that folder, or
# starts it again, and stays for as long as its instance lives. A receiving side that knows nothing has
# no VM in a vtpmd yet, so what --incoming needs is the instance alone. Before the service of nbd-vars it
# starts a server of the variables in FILE (--variables FILE SOCKET), which creates the VM with them; what
# its guest leaves there is looked at in the VM's store (--check-variables FILE), by $VMGS.
set -u  # no pipefail: a reader that has what it wants leaves its writer behind

# of_folder FOLDER: the VM that a state folder stands for.
of_folder() { name=e2e-$(echo "$1" | sha256sum | cut -c1-16); }
ctl() { "$VTPMCTL" "$@" --socket "$VTPMD_SOCKET"; }
field() { ctl show "$name" --json | sed -n 's/.*"'"$1"'":"\{0,1\}\([^",]*\).*/\1/p'; }

case $1 in
--vm)
    control=$3
    of_folder "$2"
    stop() { ctl stop "$name" --force; }
    trap stop TERM
    ctl show "$name" >/dev/null 2>&1 || ctl create "$name" --state-blobs plain --leave-stopped || exit 1
    # vtpmd listens there from now on: who comes before the instance serves, waits.
    ln -sf "$(field control_socket)" "$control"
    ctl start "$name" || exit 1
    pid=$(field pid)
    [ "${pid:-0}" -gt 0 ] || exit 1
    # It is no child of ours, so this waits until its last open end of a pipe is closed with it; the
    # kernel says so for a process too.
    python3 -c 'import os, select, sys; select.select([os.pidfd_open(int(sys.argv[1]))], [], [])' "$pid" &
    wait $! || wait $!
    exit 0
    ;;
--variables)
    of_folder "$(dirname "$2")/state"
    ctl create "$name" --variables "$2" --leave-stopped || exit 1
    ln -sf "$(field variables_socket)" "$3"
    exit 0
    ;;
--check-variables)
    of_folder "$(dirname "$2")/state"
    store=$(field store_path)
    "$VMGS" variables "$store" --key "${store%.vmgs}.key" --json | grep -q '"name":"BootOrder"'
    exit
    ;;
esac

run_e2e=$1
export VTPMCTL=$3 VMGS=${VMGS:-vmgs}
export E2E_NBD="$0 --variables %F %S" E2E_NBD_CHECK="$0 --check-variables %F"
vtpmd=$2 instance=$4
shift 4
work=$(mktemp -d)
export VTPMD_SOCKET=$work/run/vtpmd.sock
mkdir "$work/run"
"$vtpmd" --state "$work/state" --runtime "$work/run" --instance "$instance" >"$work/vtpmd.log" 2>&1 &
daemon=$!
cleanup() {
    kill -TERM "$daemon" 2>/dev/null
    wait "$daemon"
    rm -rf "$work"
}
trap cleanup EXIT
timeout 60 tail -n +1 -F "$work/vtpmd.log" 2>/dev/null | grep -q -m 1 'serving' || { cat "$work/vtpmd.log"; exit 1; }
"$run_e2e" --service "$0 --vm %D %S" --incoming "$instance --vmgs %D/vm.vmgs --create --ctrl %S --incoming --state-blobs plain" "$@"
status=$?
[ "$status" = 0 ] || tail -n 20 "$work/vtpmd.log"
exit "$status"
