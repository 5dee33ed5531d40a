#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Walks through a TPM with the tpm2-tools that people use, each step with its expected outcome.
# Usage: run.sh [--resource-manager | --simulator] VTPM_INSTANCE TOPIC...
# A topic is a file beside this one; each gets a new VM. With --resource-manager the tools talk to a
# tpm2-abrmd of their own, on a message bus of its own, and that talks to the TPM. With --simulator
# they talk to the TPM as to the reference simulator.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/steps.sh"

resource_manager= simulator=
if [ "$1" = --resource-manager ]; then
  if [ -z "${TPM2_TOOLS_BUS:-}" ]; then
    TPM2_TOOLS_BUS=private exec dbus-run-session -- "$0" "$@"
  fi
  resource_manager=yes
  shift
fi
if [ "$1" = --simulator ]; then
  simulator=yes
  shift
fi
program=$1
shift
for topic in "$@"; do
  new_vm
  echo "-- $topic"
  . "$here/$topic.sh"
  end_vm
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
