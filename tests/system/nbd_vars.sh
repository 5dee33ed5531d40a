#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the suite nbd-vars of an end-to-end check of vTPM services, run-e2e.sh, with the TPM and the
# variables of the guest in one store:
#
#   nbd_vars.sh RUN_E2E VTPM_INSTANCE VMGS
#
# The suite starts a server of the variables and waits for its socket before it starts the service,
# and here they are one program. So a socket that nobody listens at keeps the place, and the
# instance, which removes such a socket, takes it.
set -eu
run_e2e=$1
instance=$2
vmgs=$3
export E2E_NBD="python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' %S"
export E2E_NBD_CHECK="folder=\$(dirname %F)/state; $vmgs variables \$folder/vm.vmgs --key \$folder/vm.vmgs.key --json | grep -q '\"name\":\"BootOrder\"'"
exec "$run_e2e" --service "$instance --vmgs %D/vm.vmgs --create --ctrl %S --nbd %D/../nbd.sock --variables-from %D/../store.fd" nbd-vars
