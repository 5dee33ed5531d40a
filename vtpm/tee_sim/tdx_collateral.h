// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "keybroker/crypto/sgx_extension.h"
#include "keybroker/crypto/time.h"
#include "keybroker/evidence/td_report.h"

namespace vtpm::tee_sim {

using SvnComponents = std::array<std::uint8_t, 16>;

// One row of Intel's TCB info: whoever reaches every number of it has its status.
struct TcbLevel {
  SvnComponents sgx{};
  std::uint16_t pce_svn = 0;
  SvnComponents tdx{};
  std::string date;    // as parse_time() reads it
  std::string status;  // "UpToDate", "OutOfDate", "Revoked", ...
  std::vector<std::string> advisories{};
};

struct IsvLevel {
  unsigned isv_svn = 0;
  std::string date;
  std::string status;
  std::vector<std::string> advisories{};
};

struct ModuleIdentity {
  std::string id;  // "TDX_01"
  keybroker::evidence::TdxDigest mr_signer{};
  std::vector<IsvLevel> levels;
};

// What a TCB info document of id TDX, version 3, says. A test may change anything before it is
// written and signed (TdxMint::sign_collateral() under "tcbInfo").
struct TcbInfo {
  keybroker::crypto::Time issued;
  keybroker::crypto::Time next_update;
  std::array<std::byte, 6> fmspc{};
  std::array<std::byte, 2> pce_id{};
  unsigned evaluation = 18;
  std::vector<ModuleIdentity> modules;
  std::vector<TcbLevel> levels;
};

// What a QE identity document of id TD_QE, version 2, says ("enclaveIdentity").
struct QeIdentity {
  keybroker::crypto::Time issued;
  keybroker::crypto::Time next_update;
  unsigned evaluation = 18;
  std::array<std::byte, 32> mr_signer{};
  unsigned isv_prod_id = 2;
  std::vector<IsvLevel> levels;
};

// tcb_info_for() is the document for a platform that is up to date at `tdx`: three levels
// (UpToDate, OutOfDate, Revoked), two module identities, 30 days from `issued`.
TcbInfo tcb_info_for(const keybroker::crypto::SgxExtension& platform, const SvnComponents& tdx,
                     keybroker::crypto::Time issued);

// qe_identity_for() is that of the simulator's quoting enclave.
QeIdentity qe_identity_for(keybroker::crypto::Time issued);

// The bodies, compact as Intel serves them; the signature is over exactly these bytes.
std::string to_json(const TcbInfo& info);
std::string to_json(const QeIdentity& identity);

}  // namespace vtpm::tee_sim
