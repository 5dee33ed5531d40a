#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# libvirt runs domains with TPMs of ours, without knowing it:
#
#   libvirt.sh FOLDER_WITH_SWTPM_AND_SWTPM_SETUP VTPM_INSTANCE VTPMCTL
#
# Four domains, each defined, started, saved, restored, destroyed and started again: one with an
# emulator TPM, one with that under a secret, one that has run on swtpm before and is adopted, one
# with an external TPM. The first three have to keep the endorsement key that swtpm_setup made.
#
# virtlogd and libvirtd are started by hand in a mount namespace of their own, with folders of their
# own in place of the system's, and QEMU emulates. Skips itself (77) where it is not root or a
# program is missing: packages libvirt-daemon-system, libvirt-clients, qemu-system-x86, swtpm-tools,
# swtpm (for its user tss) and tpm2-tools.
set -u
drop_in=$(cd "$1" && pwd) || exit 1
instance=$2
vtpmctl=$3

[ "$(id -u)" = 0 ] || { echo "only root can give libvirtd folders of its own"; exit 77; }
for program in swtpm libvirtd virtlogd virsh qemu-system-x86_64 swtpm_localca swtpm_ioctl tpm2_nvread unshare; do
    command -v "$program" >/dev/null || { echo "no $program here"; exit 77; }
done
id tss >/dev/null 2>&1 || { echo "no user tss here, as whom libvirt runs swtpm"; exit 77; }
if [ -z "${LIBVIRT_SH_INSIDE:-}" ]; then
    unshare --mount --propagation private true 2>/dev/null || { echo "no mount namespaces here"; exit 77; }
    LIBVIRT_SH_INSIDE=1 exec unshare --mount --propagation private "$0" "$@"
fi

work=$(mktemp -d)
chmod 711 "$work"
pids=()
connection="qemu:///system"
cleanup() {
    local pid name
    for name in plain secret adopted external; do virsh -q -c "$connection" destroy "$name" >/dev/null 2>&1; done
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
fail() {
    echo "FAIL $1"
    tail -n 20 "$work"/*.log /var/log/swtpm/libvirt/qemu/*.log 2>/dev/null
    exit 1
}

for folder in /run/libvirt /var/lib/libvirt /etc/libvirt /var/log/libvirt /var/cache/libvirt \
    /var/log/swtpm /var/lib/swtpm-localca; do
    mkdir -p "$folder" && mount -t tmpfs -o mode=0755 tmpfs "$folder" || { echo "no tmpfs can be mounted"; exit 77; }
done
chown tss /var/lib/swtpm-localca
cat >/etc/libvirt/qemu.conf <<'END'
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
cgroup_controllers = []
namespaces = []
END
printf 'log_outputs="3:file:%s"\n' "$work/libvirtd.log" >/etc/libvirt/libvirtd.conf
: >/etc/libvirt/virtlogd.conf

# As the alternatives of a distribution are: links that lead to ours, or to swtpm.
their_swtpm=$(command -v swtpm)
their_setup=$(command -v swtpm_setup) || { echo "no swtpm_setup here"; exit 77; }
mkdir "$work/bin"
use() { ln -sf "$1" "$work/bin/swtpm" && ln -sf "$2" "$work/bin/swtpm_setup"; }
use "$drop_in/swtpm" "$drop_in/swtpm_setup"
export PATH=$work/bin:$PATH

# daemon PROGRAM: waited for until it says that it is ready, as it does to systemd.
daemon() {
    local ready said
    exec {ready}< <(exec python3 -c '
import socket, sys
notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notices.bind(sys.argv[1])
print("listening", flush=True)
notices.settimeout(60)
while b"READY=1" not in notices.recv(4096):
    pass
print("ready")' "$work/$1.notices" 2>"$work/notices.log")
    read -r -u "$ready" said
    NOTIFY_SOCKET=$work/$1.notices "$1" >"$work/$1.out.log" 2>&1 {ready}<&- &
    pids+=("$!")
    read -r -u "$ready" said && [ "$said" = ready ] || fail "$1 is not ready after a minute"
    exec {ready}<&-
}
v() { virsh -q -c "$connection" "$@"; }
must() { v "$@" >"$work/virsh.log" 2>&1 || fail "virsh $*: $(cat "$work/virsh.log")"; }

daemon virtlogd
daemon libvirtd
must version
v domcapabilities --virttype qemu --machine q35 >"$work/capabilities.xml" || fail "domcapabilities"
grep -q '<value>emulator</value>' "$work/capabilities.xml" || fail "libvirt offers no emulator TPM"

# A secret of libvirt's, under which the second domain's TPM is kept.
printf "<secret ephemeral='yes' private='yes'><uuid>%s</uuid><usage type='vtpm'><name>tpm</name></usage></secret>" \
    5ec2e700-0000-4000-8000-000000000001 >"$work/secret.xml"
must secret-define "$work/secret.xml"
printf 'correct horse battery staple' >"$work/passphrase"
must secret-set-value 5ec2e700-0000-4000-8000-000000000001 --file "$work/passphrase" --plain

define() {
    local name=$1 uuid=$2 backend=$3
    cat >"$work/$name.xml" <<END
<domain type='qemu'>
  <name>$name</name><uuid>$uuid</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
  <devices>
    <emulator>$(command -v qemu-system-x86_64)</emulator>
    <controller type='usb' model='none'/><memballoon model='none'/>
    <tpm model='tpm-crb'>$backend</tpm>
  </devices>
</domain>
END
    must define "$work/$name.xml"
}

expect_running() { [ "$(v domstate "$1")" = running ] || fail "$1 does not run"; }

emulator_state() { echo "/var/lib/libvirt/swtpm/$1/tpm2"; }

# The certificate of the EK, read from a copy of a TPM: root without capabilities opens only what is
# its own, and libvirt gives the TPM to another user.
ek_certificate() {
    local state=$1 out=$2
    shift 2
    rm -rf "$work/copy"
    mkdir "$work/copy"
    # A process id comes out of it once there is a TPM to talk to.
    mkfifo "$work/pid"
    cp "$state/tpm2-00.permall" "$work/copy/"
    swtpm socket --tpm2 --tpmstate "dir=$work/copy" --server "type=unixio,path=$work/data" \
        --ctrl "type=unixio,path=$work/data.ctrl" --pid "file=$work/pid" --flags startup-clear "$@" \
        2>"$work/reader.log" &
    local served=$!
    timeout 60 head -n 1 "$work/pid" >/dev/null || fail "no TPM to read the EK certificate of"
    TPM2TOOLS_TCTI="swtpm:path=$work/data" tpm2_nvread -o "$out" 0x1c00002 >/dev/null 2>"$work/nvread.log" ||
        fail "no EK certificate: $(cat "$work/nvread.log")"
    swtpm_ioctl --unix "$work/data.ctrl" -s || fail "the reader did not end"
    wait "$served"
    rm -f "$work/data" "$work/data.ctrl" "$work/pid"
}

life() {
    local name=$1 before_start=$2 before_restore=$3
    $before_start
    must start "$name"
    expect_running "$name"
    must save "$name" "$work/$name.save"
    $before_restore
    must restore "$work/$name.save"
    expect_running "$name"
    must destroy "$name"
}

emulator() {
    local name=$1 uuid=$2 encryption=$3
    shift 3
    define "$name" "$uuid" "<backend type='emulator' version='2.0'>$encryption</backend>"
    life "$name" true true
    local state
    state=$(emulator_state "$uuid")
    [ "$(head -c 8 "$state/tpm2-00.permall")" = GUESTRTS ] || fail "$state holds no store of ours"
    ek_certificate "$state" "$work/$name.before" "$@"
    must start "$name"
    expect_running "$name"
    must destroy "$name"
    ek_certificate "$state" "$work/$name.after" "$@"
    cmp -s "$work/$name.before" "$work/$name.after" || fail "$name has another TPM than before"
    must undefine "$name"
    [ ! -e "$state" ] || fail "libvirt left $state"
    echo "PASS $name: start, save, restore, destroy, start again; $(stat -c %s "$work/$name.after") bytes of EK certificate, the same each time"
}

# A domain that has run on swtpm, which then makes place for ours.
adopted() {
    local uuid=11111111-0000-4000-8000-000000000004 state
    state=$(emulator_state "$uuid")
    define adopted "$uuid" "<backend type='emulator' version='2.0'/>"
    use "$their_swtpm" "$their_setup"
    must start adopted
    [ "$("$vtpmctl" adopt --dry-run --json "$state" | grep -c '"outcome":"failed"')" = 1 ] ||
        fail "a TPM that swtpm has could be adopted"
    must destroy adopted
    ek_certificate "$state" "$work/adopted.theirs"
    use "$drop_in/swtpm" "$drop_in/swtpm_setup"
    "$vtpmctl" adopt /var/lib/libvirt/swtpm >"$work/adopt.log" 2>&1 || fail "adopt: $(cat "$work/adopt.log")"
    grep -q "^adopted $state" "$work/adopt.log" || fail "adopt: $(cat "$work/adopt.log")"
    life adopted true true
    [ "$(head -c 8 "$state/tpm2-00.permall")" = GUESTRTS ] || fail "$state holds no store of ours"
    ek_certificate "$state" "$work/adopted.ours"
    cmp -s "$work/adopted.theirs" "$work/adopted.ours" || fail "another TPM than under swtpm"
    must undefine adopted
    echo "PASS adopted: ran on $(basename "$("$their_swtpm" --version | cut -d, -f1)"), then on ours with the same TPM"
}

serve() {
    "$instance" --vmgs "$work/external.vmgs" --create --ctrl "$work/ctrl" --state-blobs plain "$@" >"$work/instance.log" 2>&1 &
    pids+=("$!")
    timeout 60 tail -n +1 -F "$work/instance.log" 2>/dev/null |
        grep -q -m 1 '^vtpm-instance: \(ready\|the TPM.s state is still to arrive\)$' ||
        fail "the instance is not ready after a minute"
}
serve_new() { rm -f "$work/ctrl"; serve; }
serve_incoming() { rm -f "$work/ctrl"; serve --incoming; }

emulator plain 11111111-0000-4000-8000-000000000001 ""
emulator secret 11111111-0000-4000-8000-000000000002 \
    "<encryption secret='5ec2e700-0000-4000-8000-000000000001'/>" \
    --key "pwdfile=$work/passphrase,mode=aes-256-cbc"

adopted

define external 11111111-0000-4000-8000-000000000003 \
    "<backend type='external'><source type='unix' mode='connect' path='$work/ctrl'/></backend>"
life external serve_new serve_incoming
serve_new
must start external
expect_running external
must destroy external
must undefine external
echo "PASS external: start, save, restore, destroy, start again"
echo "libvirt $(libvirtd --version | sed 's/.* //'), $(qemu-system-x86_64 --version | head -n 1)"
