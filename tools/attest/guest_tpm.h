// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "keybroker/evidence/quote_verification.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

struct ESYS_CONTEXT;
struct TSS2_TCTI_OPAQUE_CONTEXT_BLOB;

namespace tools::attest {

// Where the vTPMs of confidential VMs keep what a guest needs for evidence.
inline constexpr std::uint32_t kReportIndex = 0x01400001;
inline constexpr std::uint32_t kUserDataIndex = 0x01400002;
inline constexpr std::uint32_t kExtendedClaimsIndex = 0x01400003;
inline constexpr std::uint32_t kAkCertificateIndex = 0x01C101D0;
inline constexpr std::uint32_t kAkChainIndex = 0x01C101D1;
inline constexpr std::uint32_t kRsaAkHandle = 0x81000003;
inline constexpr std::uint32_t kEccAkHandle = 0x81000005;

// GuestTpm is the TPM of the machine that this program runs on, or another, through any TCTI. One
// owner. Errors name the TPM's response; kUnavailable may be tried again.
class GuestTpm {
 public:
  // open() takes a TCTI as the TSS spells it ("device:/dev/tpmrm0", "swtpm:path=/run/tpm.sock");
  // for none the TSS looks for one.
  static base::Result<GuestTpm> open(const std::string& tcti);

  GuestTpm(GuestTpm&& other) noexcept;
  GuestTpm& operator=(GuestTpm&&) = delete;
  ~GuestTpm();

  // use_owner_auth() says what the owner of the TPM set as its password.
  base::Result<void> use_owner_auth(base::ByteView password);

  // read_index() reads all of an NV index as the owner, and again for up to ten seconds while the
  // TPM asks for patience (TPM_RC_RETRY). kNotFound if it is not defined or was not written yet.
  base::Result<base::Bytes> read_index(std::uint32_t index);

  // write_user_data() puts bytes into the index that the next report takes them from. The owner
  // defines it anew if it has another size.
  base::Result<void> write_user_data(base::ByteView data);

  // public_area() is the TPMT_PUBLIC of a persistent key. kNotFound if there is none.
  base::Result<base::Bytes> public_area(std::uint32_t handle);

  // quote() is by a persistent key whose use needs no password, over PCRs of one bank, with values
  // that have the digest that was signed.
  base::Result<keybroker::evidence::QuoteEvidence> quote(std::uint32_t handle, base::ByteView nonce,
                                                         keybroker::crypto::Hash bank,
                                                         const std::set<std::uint8_t>& pcrs);

 private:
  base::Result<base::Bytes> read_index_once(std::uint32_t index);
  GuestTpm() = default;

  base::Result<std::uint32_t> find(std::uint32_t handle);
  base::Result<std::size_t> largest_transfer();
  base::Result<keybroker::evidence::PcrValues> read_pcrs(keybroker::crypto::Hash bank,
                                                         const std::set<std::uint8_t>& pcrs);

  TSS2_TCTI_OPAQUE_CONTEXT_BLOB* tcti_ = nullptr;
  ESYS_CONTEXT* esys_ = nullptr;
};

}  // namespace tools::attest
