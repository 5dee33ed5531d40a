# SPDX-License-Identifier: Apache-2.0
# The steps that topics are made of: a VM with its instance, and commands with their outcomes. A
# topic runs in a folder of its own, $work, which holds whatever it makes.

failed=0 passed=0 work='' instance='' broker='' port=''

new_vm() {
  work=$(mktemp -d)
  cd "$work" || exit 1
  power_on
  # Topics try many wrong auth values; lockout.sh is about what that leads to.
  tpm2 dictionarylockout -Q --setup-parameters --max-tries=1000 --recovery-time=1 --lockout-recovery-time=1
}

end_vm() {
  power_off TERM
  cd / && rm -rf "$work"
  work=
}

# await_line DESCRIPTOR PATTERN: reads until a line matches, into $line. What a program says before it
# is ready is no concern of ours; if it never is, its last words are.
await_line() {
  line=
  while read -r -t 60 -u "$1" line; do
    # shellcheck disable=SC2053
    [[ $line == $2 ]] && return 0
  done
  echo "waited for '$2' in vain; the last line was: $line" >&2
  return 1
}

# power_on starts the instance, and the resource manager if there is to be one.
power_on() {
  coproc INSTANCE {
    exec "$program" --vmgs "$work/vm.vmgs" --create --ctrl "$work/tpm.ctrl" --data "$work/tpm" \
      ${simulator:+--mssim 0} 2>&1
  }
  instance=$INSTANCE_PID
  if [ -n "$simulator" ]; then
    await_line "${INSTANCE[0]}" '*the simulator protocol is spoken at*' || exit 1
    [[ $line =~ port\ ([0-9]+), ]] || exit 1
    port=${BASH_REMATCH[1]}
  fi
  # A TPM that sleeps is not provisioned, so there is no report of this start.
  await_line "${INSTANCE[0]}" '*: @(ready|report-missing:*)' || exit 1
  TPM2TOOLS_TCTI=swtpm:path=$work/tpm
  [ -z "$simulator" ] || TPM2TOOLS_TCTI=mssim:host=127.0.0.1,port=$port
  if [ -n "$resource_manager" ]; then
    tpm2-abrmd --session --allow-root --tcti "$TPM2TOOLS_TCTI" >"$work/broker.log" 2>&1 &
    broker=$!
    gdbus wait --session --timeout 60 com.intel.tss2.Tabrmd || exit 1
    TPM2TOOLS_TCTI=tabrmd:bus_type=session
  fi
  export TPM2TOOLS_TCTI
  # The TPM is off and nobody is in charge, so the first client turns it on; a guest's firmware
  # would say this.
  tpm2 startup -c || exit 1
}

# power_off SIGNAL ends the instance, and leaves its store. Its standard streams may stay open for a
# moment, so this waits for the process.
power_off() {
  if [ -n "$broker" ]; then
    kill "$broker"
    wait "$broker"
    broker=
  fi
  kill "-$1" "$instance"
  wait "$instance" 2>/dev/null
  instance=
}

leave_nothing() {
  [ -n "$broker" ] && kill "$broker"
  [ -n "$instance" ] && kill -KILL "$instance"
  [ -n "$work" ] && rm -rf "$work"
}
trap leave_nothing EXIT

# There may be no resource manager between, so what a tool leaves loaded is flushed.
tidy() { tpm2 flushcontext -Q -t 2>>"$work/err"; }

fail() {
  failed=$((failed + 1))
  echo "FAILED $1"
  sed 's/^/    /' "$work/err"
}

# check NAME COMMAND...: the command succeeds. Its output is in $work/out.
check() {
  local name=$1
  shift
  if "$@" >"$work/out" 2>"$work/err"; then
    passed=$((passed + 1))
  else
    fail "$name: $*"
  fi
  tidy
}

# refuse NAME CODE COMMAND...: the command fails, and it is the TPM that says so, by this response
# code (TPM 2.0 Part 2, 6.6). A tool that fails leaves its session loaded as well.
refuse() {
  local name=$1 code=$2
  shift 2
  if "$@" >"$work/out" 2>"$work/err"; then
    fail "$name, as it was not refused: $*"
  elif ! grep -qi "0x0*$code)" "$work/err"; then
    fail "$name, as it was refused otherwise than by 0x$code: $*"
  else
    passed=$((passed + 1))
  fi
  tidy
  tpm2 flushcontext -Q -l 2>>"$work/err"
}

# differ NAME COMMAND...: the tool itself finds that something is not as it should be.
differ() {
  local name=$1
  shift
  if "$@" >"$work/out" 2>"$work/err"; then
    fail "$name, as nothing was found: $*"
  else
    passed=$((passed + 1))
  fi
  tidy
}

# same NAME VALUE EXPECTED
same() {
  : >"$work/err"
  if [ "$2" = "$3" ]; then
    passed=$((passed + 1))
  else
    fail "$1: '$2' is not '$3'"
  fi
}

# property NAME: of TPM2_PT_VAR.
property() { tpm2 getcap properties-variable | sed -n "s/^ *$1: *//p"; }

# policy NAME TOOL...: the digest of a policy, as NAME.policy, by a trial session. The tool is given
# the session and the file.
policy() {
  local name=$1
  shift
  check "trial-$name" tpm2 startauthsession -Q -S trial.session
  check "policy-$name" "$@" -S trial.session -L "$name.policy"
  tpm2 flushcontext -Q trial.session
}

# with_policy FILE: a policy session to satisfy a policy with. enough FILE ends it.
with_policy() { check "session-$1" tpm2 startauthsession -Q --policy-session -S "$1"; }

enough() { tpm2 flushcontext -Q "$1" 2>>"$work/err"; }

# primary FILE: a storage key in the owner's hierarchy.
primary() { check "primary-$1" tpm2 createprimary -Q -C o -G ecc -c "$1"; }
