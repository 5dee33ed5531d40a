#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh FUZZER SECONDS FOUND SEEDS...: what ctest runs of a fuzz target. A smoke run starts from the
# same random seed each time, so that it judges the change and not its luck. With
# STRONGROOM_FUZZ_LONG=SECONDS in the environment it runs that long, from a seed that it prints.
set -eu
fuzzer=$1
seconds=$2
found=$3
shift 3
seed=1
if [ -n "${STRONGROOM_FUZZ_LONG:-}" ]; then
  seconds=$STRONGROOM_FUZZ_LONG
  seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
  echo "run.sh: random seed $seed; repeat with $fuzzer -seed=$seed"
fi
exec "$fuzzer" -seed="$seed" -max_total_time="$seconds" -artifact_prefix="$found/" "$found" "$@"
