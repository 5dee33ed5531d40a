// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vtpm::tee {

using keybroker::protocol::LaunchDigest;
using keybroker::protocol::TeeFamily;

using ReportData = std::array<std::byte, 64>;
using Measurement = std::array<std::byte, 48>;

// Svn is the security version that a derived key is bound to, as it is stored beside the key.
// SEV-SNP: the eight bytes of a TCB version, 24 zero. TDX: TEE_TCB_SVN, then CPUSVN, 16 each.
using Svn = std::array<std::byte, 32>;

// How the bytes of an Svn are to be read.
enum class SvnLayout : std::uint8_t { kSnp, kSnpTurin, kTdx };

// describe() gives an Svn for people: "boot loader 3, TEE 0, SNP 8, microcode 115".
std::string describe(const Svn& svn, SvnLayout layout);

// Evidence is what a verifier is shown, as the platform gave it, unverified: an SNP report and the
// certificate table of the host (empty if the host gave none), or a TDX quote and no table.
struct Evidence {
  base::Bytes report;
  base::Bytes certificates;
};

// OwnReport is what the TEE says of the VM that this process runs in. It came over the TEE's own
// channel, which the host cannot alter, so nothing in it needs a signature.
struct OwnReport {
  TeeFamily family = TeeFamily::kSevSnp;
  bool simulated = false;
  Measurement measurement{};   // MEASUREMENT or MRTD
  std::uint64_t policy = 0;    // the guest POLICY, or the TD ATTRIBUTES
  bool debug = false;          // the host may read this VM's memory
  LaunchDigest launch_digest;  // HOST_DATA and 16 zero bytes, or MRCONFIGID
  SvnLayout svn_layout = SvnLayout::kSnp;
  Svn committed_svn{};  // SNP: the committed TCB, below which firmware cannot go; TDX: the SVN of
                        // now
  Svn reported_svn{};   // SNP: the TCB that the certificate is for; TDX: the SVN of now
};

// Which fields the TEE mixes into a derived key, besides its own secret and the SVN.
enum class KeyScheme : std::uint8_t {
  kSealedKeys,  // ours. SNP: guest policy, measurement. TDX: MRTD, MRCONFIGID, MROWNERCONFIG, DEBUG
  kOpenHclHash,    // OpenHCL's "hash". SNP: guest policy, measurement. TDX: MRTD
  kOpenHclSigner,  // OpenHCL's "signer", to be read and never written. SNP only: guest policy
};

struct KeyBinding {
  KeyScheme scheme = KeyScheme::kSealedKeys;
  Svn svn{};
};

// Tee is the confidential VM that this process runs inside. Three kinds exist: SnpTee, TdxTee, and
// SimulatedTee for machines without the hardware. Only tools/ picks one; nothing below asks which
// it got. One owner, no lock; a call may block for seconds, as hosts limit the rate.
class Tee {
 public:
  virtual ~Tee() = default;

  // report() returns evidence, still unverified, that carries `report_data`. kUnavailable if the
  // device or the host is away or stays busy, kIo if the firmware refuses, by name.
  virtual base::Result<Evidence> report(const ReportData& report_data) = 0;

  // hardware_report() is the report that carries `report_data` and that guests find in their TPM:
  // an SNP report (1184 bytes), or a TDREPORT (1024 bytes), which only its own machine can check
  // until a quoting enclave has made a quote of it. Errors as report().
  virtual base::Result<base::Bytes> hardware_report(const ReportData& report_data) = 0;

  // own_report() asks the TEE under a nonce of its own and decodes the answer. It asks once, as
  // hosts limit how often firmware may be asked: of what a report says about a running VM only the
  // TCB can change, and the committed one only rises.
  virtual base::Result<OwnReport> own_report() = 0;

  // derive_key() returns the same key for as long as what `binding` names holds. kDenied if the
  // TEE does not derive for that SVN (it is newer than the machine's), kUnavailable where the
  // machine or its kernel has no such key, kIo if the firmware fails.
  virtual base::Result<base::Secret<32>> derive_key(const KeyBinding& binding) = 0;
};

}  // namespace vtpm::tee
