#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fails if one of the programs holds a simulated TEE. Usage: check_no_simulator.sh SIMULATOR PROGRAM...
# SIMULATOR is the one program that does: if nothing is found there, this check looks for the wrong thing.
set -euo pipefail
simulator=$1
shift
symbols() { nm -C "$1" | grep -F 'vtpm::tee_sim::' || true; }
if [ -z "$(symbols "$simulator")" ]; then
  echo "$simulator: no symbol of vtpm::tee_sim, so this check proves nothing" >&2
  exit 1
fi
status=0
for program in "$@"; do
  found=$(symbols "$program")
  if [ -n "$found" ]; then
    echo "$program holds a simulated TEE:" >&2
    head -5 <<<"$found" >&2
    status=1
  fi
done
exit $status
