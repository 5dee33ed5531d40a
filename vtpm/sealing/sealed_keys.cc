// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/sealed_keys.h"

#include <optional>
#include <span>
#include <utility>

#include "vmgs/crypto/aead.h"
#include "vmgs/crypto/kdf.h"
#include "vmgs/crypto/random.h"
#include "vmgs/format/sealed_keys.h"
#include "vtpm/sealing/refusal.h"

namespace vtpm::sealing {

namespace {

using vmgs::format::SealedKey;
using vmgs::format::TeeType;
using vmgs::format::VmId;

TeeType tee_type_of(const tee::OwnReport& report) {
  const bool snp = report.family == tee::TeeFamily::kSevSnp;
  if (report.simulated) {
    return snp ? TeeType::kSimulatedSnp : TeeType::kSimulatedTdx;
  }
  return snp ? TeeType::kSnp : TeeType::kTdx;
}

// entry_here() is what an entry must say to be of this VM on this machine: every field of the
// context comes from the TEE's own report and from the caller, none from the file.
SealedKey entry_here(const tee::OwnReport& report, const VmId& vm_id, const tee::Svn& svn) {
  return {.tee_type = tee_type_of(report),
          .svn = svn,
          .measurement = report.measurement,
          .launch_digest = report.launch_digest.bytes,
          .vm_id = vm_id,
          .nonce = {},
          .ciphertext = {},
          .tag = {}};
}

// sealing_key() derives the key of an entry afresh: the TEE's key is an input of SP 800-108, its
// label the kind of machine, its context all that the entry is for.
base::Result<vmgs::crypto::AeadKey> sealing_key(tee::Tee& tee, const SealedKey& entry) {
  TRY_ASSIGN(tee_key, tee.derive_key({.scheme = tee::KeyScheme::kSealedKeys, .svn = entry.svn}));
  const auto label = is_simulated(entry.tee_type) ? "VMSEAL-SIM-1" : "VMSEAL-1";
  return vmgs::crypto::derive<32>(tee_key.expose(), base::bytes_of(label),
                                  vmgs::format::sealed_key_context(entry));
}

base::Result<SealedKey> seal_entry(const DatastoreKey& key, tee::Tee& tee, SealedKey entry) {
  TRY_ASSIGN(wrapping_key, sealing_key(tee, entry));
  TRY(vmgs::crypto::random_bytes(entry.nonce));
  TRY_ASSIGN(tag,
             vmgs::crypto::seal(wrapping_key, entry.nonce, vmgs::format::sealed_key_context(entry),
                                key.bytes.expose(), entry.ciphertext));
  entry.tag = tag;
  return entry;
}

base::Result<DatastoreKey> open_entry(tee::Tee& tee, const SealedKey& entry) {
  TRY_ASSIGN(wrapping_key, sealing_key(tee, entry));
  TRY_ASSIGN(key, base::Secret<32>::filled_by([&](std::span<std::byte, 32> out) {
               return vmgs::crypto::open(wrapping_key, entry.nonce,
                                         vmgs::format::sealed_key_context(entry), entry.tag,
                                         entry.ciphertext, out);
             }));
  return DatastoreKey{std::move(key)};
}

// same_context() compares what the entry says with what it must say, but for the SVN.
bool same_context(const SealedKey& stored, const SealedKey& here) {
  return stored.tee_type == here.tee_type && stored.measurement == here.measurement &&
         stored.launch_digest == here.launch_digest && stored.vm_id == here.vm_id;
}

// Of an entry that does not open here.
base::Result<Refusal> try_entry(tee::Tee& tee, const SealedKey& stored, const SealedKey& here,
                                std::optional<DatastoreKey>& opened) {
  if (!same_context(stored, here)) {
    return Refusal::kOtherContext;
  }
  auto key = open_entry(tee, stored);
  if (key) {
    opened = *std::move(key);
    return Refusal::kNone;
  }
  if (key.error().code == base::ErrorCode::kDenied) {
    return Refusal::kOlderTcb;
  }
  if (key.error().code == base::ErrorCode::kAuthentication) {
    return Refusal::kDoesNotVerify;
  }
  return base::fail(std::move(key).error());
}

}  // namespace

base::Result<base::Bytes> seal(const DatastoreKey& key, tee::Tee& tee, const VmId& vm_id) {
  TRY_ASSIGN(report, tee.own_report());
  TRY_ASSIGN(entry, seal_entry(key, tee, entry_here(report, vm_id, report.committed_svn)));
  return vmgs::format::encode_sealed_keys({entry});
}

base::Result<base::Bytes> reseal(const DatastoreKey& key, tee::Tee& tee, const VmId& vm_id,
                                 const Unsealed& opened, TcbGrace grace) {
  TRY_ASSIGN(report, tee.own_report());
  std::vector<SealedKey> entries;
  TRY_ASSIGN(newest, seal_entry(key, tee, entry_here(report, vm_id, report.committed_svn)));
  entries.push_back(newest);
  if (grace == TcbGrace::kRunning) {
    for (const auto& svn : opened.svns) {
      if (svn == report.committed_svn) {
        continue;
      }
      auto before = seal_entry(key, tee, entry_here(report, vm_id, svn));
      if (before) {
        entries.push_back(*before);
        break;
      }
      // A machine that was taken back does not derive for the TCB it had: the next one, then.
      if (before.error().code != base::ErrorCode::kDenied) {
        return base::fail(std::move(before).error());
      }
    }
  }
  return vmgs::format::encode_sealed_keys(entries);
}

base::Result<Unsealed> unseal(base::ByteView sealed_keys, tee::Tee& tee, const VmId& vm_id) {
  TRY_ASSIGN(entries, vmgs::format::decode_sealed_keys(sealed_keys));
  TRY_ASSIGN(report, tee.own_report());
  std::optional<DatastoreKey> key;
  std::vector<Refusal> refusals;
  for (const auto& stored : entries) {
    TRY_ASSIGN(refusal, try_entry(tee, stored, entry_here(report, vm_id, stored.svn), key));
    if (key) {
      break;
    }
    refusals.push_back(refusal);
  }
  if (!key) {
    return base::fail(explain(entries, refusals, report, entry_here(report, vm_id, {})));
  }
  Unsealed unsealed{.key = *std::move(key), .svns = {}, .opened = refusals.size()};
  for (const auto& entry : entries) {
    unsealed.svns.push_back(entry.svn);
  }
  return unsealed;
}

base::Result<void> prove(base::ByteView sealed_keys, tee::Tee& tee, const VmId& vm_id,
                         const DatastoreKey& key) {
  TRY_ASSIGN(entries, vmgs::format::decode_sealed_keys(sealed_keys));
  TRY_ASSIGN(report, tee.own_report());
  for (const auto& entry : entries) {
    if (!same_context(entry, entry_here(report, vm_id, entry.svn))) {
      return base::fail(base::ErrorCode::kAuthentication,
                        "a freshly sealed entry is not for this VM on this machine");
    }
    TRY_ASSIGN(proved, open_entry(tee, entry));
    if (!proved.bytes.equals_in_constant_time(key.bytes)) {
      return base::fail(base::ErrorCode::kAuthentication,
                        "a freshly sealed entry holds another key than was sealed");
    }
  }
  return {};
}

}  // namespace vtpm::sealing
