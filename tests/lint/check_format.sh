#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Says which sources clang-format 14 would change; --fix changes them. Usage: check_format.sh ROOT [--fix]
set -euo pipefail
cd "$1"
format=$(command -v clang-format-14 || command -v clang-format)
case $("$format" --version) in
  *"version 14."*) ;;
  *) echo "needs clang-format 14: other versions format differently" >&2; exit 1 ;;
esac
sources() {
  local top
  for top in vmgs vtpm keybroker transport tools tests; do
    [ ! -d "$top" ] || find "$top" \( -name '*.h' -o -name '*.cc' \) -print0
  done
}
if [ "${2:-}" = --fix ]; then
  sources | xargs -0 -r "$format" -i
else
  sources | xargs -0 -r "$format" --dry-run --Werror
fi
