// SPDX-License-Identifier: Apache-2.0
#include "vmgs/inspect/unlock_ways.h"

#include <algorithm>

#include "vmgs/format/hw_key_protector.h"
#include "vmgs/format/key_protector.h"
#include "vmgs/format/sealed_keys.h"

namespace vmgs::inspect {

namespace {

using format::FileId;
using Ways = std::vector<std::string>;

void add_sealed_keys(base::ByteView content, Ways& ways) {
  const auto entries = format::decode_sealed_keys(content);
  if (!entries) {
    ways.push_back("SEALED_KEYS (48) would let the VM's own machine open it, but it is damaged: " +
                   entries.error().message);
    return;
  }
  for (const auto& entry : *entries) {
    const bool is_simulated = format::is_simulated(entry.tee_type);
    ways.push_back(
        "SEALED_KEYS (48): VM " + format::to_string(entry.vm_id) +
        (is_simulated ? ", on the simulated machine (" : ", on the machine (") +
        std::string(format::name(entry.tee_type)) +
        ") that sealed it, started with the same launch document and an image of "
        "measurement " +
        base::to_hex(entry.measurement).substr(0, 16) + "..., at TCB " +
        tcb_words(format::is_snp(entry.tee_type), entry.svn) + " or later" +
        (is_simulated ? "; only vtpm-instance-sim with that machine's secrets does it" : ""));
  }
}

void add_hw_key_protector(base::ByteView content, Ways& ways) {
  const auto protector = format::decode_hw_key_protector(content);
  if (!protector) {
    ways.push_back("HW_KEY_PROTECTOR (11) would let OpenHCL on the VM's machine open it, but: " +
                   protector.error().message);
    return;
  }
  ways.push_back(std::string("HW_KEY_PROTECTOR (11): OpenHCL on the ") +
                 (protector->tdx ? "TDX" : "SEV-SNP") + " machine that sealed it, " +
                 (protector->mix_measurement ? "with the very image that did"
                                             : "with an image of the same signer") +
                 " and the same VM configuration, at TCB " +
                 tcb_words(!protector->tdx, protector->svn) + " or later");
}

void add_key_protector(base::ByteView content, Ways& ways) {
  const auto protector = format::decode_key_protector(content, format::DekWrapping::kAesKeyWrap);
  if (!protector) {
    ways.push_back("KEY_PROTECTOR (6) would let a key broker open it, but it is not whole: " +
                   protector.error().message);
    return;
  }
  for (const auto slot : {protector->ingress(), protector->egress()}) {
    const base::ByteView dek = protector->dek.at(slot);
    if (!protector->has_dek(slot)) {
      continue;
    }
    const bool is_aes = base::is_all_zero(dek.subspan(format::kAesWrappedDekBytes));
    std::string way = "KEY_PROTECTOR (6), slot " + std::to_string(slot) + ": ";
    way += is_aes
               ? "the wrapping key that a broker (keybrokerd, or the one that OpenHCL was given) "
                 "releases to this VM after attestation"
               : "the RSA key of the VM's owner, which a key vault releases to OpenHCL after "
                 "attestation";
    way += protector->gsp.at(slot).length != 0 ? ", together with a seed that only its host opens"
                                               : "";
    way += slot == protector->egress() ? " (left by an interrupted change of key)" : "";
    ways.push_back(way);
  }
  const bool only_seed = !protector->has_dek(0) && !protector->has_dek(1) &&
                         protector->gsp.at(protector->ingress()).length != 0;
  if (only_seed) {
    ways.emplace_back(
        "KEY_PROTECTOR (6): a seed that the host's guest-state protection opens, on the host or "
        "the cluster that the VM was made on");
  }
}

}  // namespace

std::string tcb_words(bool is_snp, std::span<const std::byte, 32> svn) {
  if (!is_snp) {
    return "TEE TCB " + base::to_hex(svn.first<16>()) + ", CPU " + base::to_hex(svn.last<16>());
  }
  // TCB_VERSION as of Milan and Genoa (SNP firmware ABI, 2.2).
  const auto part = [&](std::size_t at) {
    return std::to_string(std::to_integer<unsigned>(svn[at]));
  };
  return "bootloader " + part(0) + ", TEE " + part(1) + ", SNP " + part(6) + ", microcode " +
         part(7);
}

std::vector<std::string> unlock_ways(storage::BlockDevice& device, const Side& side) {
  Ways ways;
  if (!side.generation || !side.generation->table()) {
    return ways;
  }
  const auto with = [&](FileId id, void (*add)(base::ByteView, Ways&)) {
    const auto content = side.generation->read_file(device, id);
    if (content) {
      add(content->expose(), ways);
    }
    return content.has_value();
  };
  bool any = with(FileId::kSealedKeys, add_sealed_keys);
  any = with(FileId::kKeyProtector, add_key_protector) || any;
  any = with(FileId::kHwKeyProtector, add_hw_key_protector) || any;
  const auto has = [&](FileId id) { return side.entries.at(format::index(id)).has_value(); };
  if (!any && has(FileId::kRecord)) {
    ways.emplace_back(
        "RECORD (49) and no protector, as stores of our ordinary VMs are: a key file of the host, "
        "usually beside the store as FILE.key, or a credential of its service (--key FROM)");
    ways.emplace_back(
        "where it is a TPM that our swtpm keeps: what that has for --key (--key "
        "swtpm:pwdfile=FILE,mode=aes-256-cbc)");
    return ways;
  }
  if (!any && has(FileId::kVmUniqueId)) {
    ways.emplace_back(
        "VM_UNIQUE_ID (7) and no other protector: a key that the host which made the VM derives "
        "from its id");
    any = true;
  }
  ways.emplace_back(any ? "the datastore key itself, where somebody kept it (--key)"
                        : "no protector is in it, so only the datastore key itself: for an "
                          "ordinary VM of ours that is a key file of the host, usually beside the "
                          "store as FILE.key, or a credential of its service (--key)");
  return ways;
}

}  // namespace vmgs::inspect
