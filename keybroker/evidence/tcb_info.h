// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keybroker/crypto/time.h"
#include "keybroker/evidence/tcb_status.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

using Svns = std::array<std::uint8_t, 16>;

// What a TCB level says besides the versions that it asks for.
struct TcbVerdict {
  TcbStatus status = TcbStatus::kUpToDate;
  crypto::Time date;
  std::vector<std::string> advisories{};
};

// One level of a platform.
struct PlatformLevel {
  Svns sgx{};
  std::uint16_t pce_svn = 0;
  Svns tdx{};
  TcbVerdict verdict{};
};

// One level of a module or of a quoting enclave, which have one version only.
struct IsvLevel {
  std::uint16_t isv_svn = 0;
  TcbVerdict verdict{};
};

// Who may have signed a TDX module, and its attributes under a mask.
struct ModuleSigner {
  std::array<std::byte, 48> mr_signer{};
  std::uint64_t attributes = 0;
  std::uint64_t attributes_mask = 0;
};

// A TDX module of one major version.
struct ModuleIdentity {
  std::uint8_t version = 0;  // from the id "TDX_01"
  ModuleSigner signer{};
  std::vector<IsvLevel> levels{};  // the newest first
};

// TcbInfo is Intel's judgement of one kind of platform (PCS API v4, TCB info of TDX, version 3).
// Nothing here has looked at its signature.
struct TcbInfo {
  crypto::Time issued;
  crypto::Time next_update;
  std::array<std::byte, 6> fmspc{};
  std::array<std::byte, 2> pce_id{};
  std::uint32_t evaluation_number = 0;
  ModuleSigner module{};  // for modules of version 0
  std::vector<ModuleIdentity> modules{};
  std::vector<PlatformLevel> levels{};  // the newest first, whatever the order of the document
};

// decode_tcb_info() reads the body of a signed document. kNotFound for TCB info of another TEE or
// another version, kCorrupt for all that breaks the format: a missing or misshaped member, arrays
// of other than 16 components, an unknown status.
base::Result<TcbInfo> decode_tcb_info(std::string_view body);

// QeIdentity is Intel's judgement of the TD quoting enclave (enclave identity "TD_QE", version 2).
struct QeIdentity {
  crypto::Time issued;
  crypto::Time next_update;
  std::uint32_t evaluation_number = 0;
  std::array<std::byte, 4> misc_select{};
  std::array<std::byte, 4> misc_select_mask{};
  std::array<std::byte, 16> attributes{};
  std::array<std::byte, 16> attributes_mask{};
  std::array<std::byte, 32> mr_signer{};
  std::uint16_t isv_prod_id = 0;
  std::vector<IsvLevel> levels{};  // the newest first
};

// decode_qe_identity() reads the body of a signed document, with the same errors.
base::Result<QeIdentity> decode_qe_identity(std::string_view body);

}  // namespace keybroker::evidence
