#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The walk of the README's "A store that does not open", as it stands there.
# Usage: readme_repair.sh ROOT FOLDER_OF_VMGS
set -euo pipefail
root=$1 programs=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
ln -s "$root/tests" tests
{
  # `explain` ends with 3, as it found why; everything else succeeds.
  echo 'set -eu; explained() { vmgs explain "$@" || [ $? -eq 3 ]; }'
  sed -n '/^## A store that does not open/,/^## /p' "$root/README.md" |
    sed -n '/^```sh/,/^```/p' | grep -v '^```' | grep -v '^export PATH' | sed 's/^vmgs explain/explained/'
} >walk.sh
PATH=$programs:$PATH bash walk.sh >said 2>&1 || { cat walk.sh said; exit 1; }
said() { grep -q -- "$1" said || { cat said; echo "it did not say: $1"; exit 1; }; }
said 'without a header that can be followed'
said 'nothing was written: say --apply'
said '^headers     slot 0, sequence 5, table in block 2, the state'
grep -q TPM_NVRAM saved/manifest.json
zcat tests/data/vmgs/05-both-headers-bad.vmgs.gz | cmp - broken.vmgs
