// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "keybroker/crypto/certificate.h"
#include "keybroker/protocol/extended_claims.h"
#include "keybroker/protocol/launch_document.h"
#include "keybroker/protocol/runtime_claims.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// Who vouches for an AK: verified hardware, the host, or a simulator. Each class has an issuing CA
// of its own, so that nobody has to read a certificate to tell them apart.
enum class AkClass : std::uint8_t { kCvm, kHost, kSimulated };

// name() is "cvm", "host" or "simulated"; parse_ak_class() reads it.
std::string_view name(AkClass ak_class);
std::optional<AkClass> parse_ak_class(std::string_view word);

// A private, non-critical extension of AK certificates: an IA5String with the JSON of a statement.
inline constexpr std::string_view kAkStatementOid = "2.25.263128889226206548715893238044030490420";

// AkStatement is what an AK certificate says of the TPM that the AK lives in, beyond the key.
struct AkStatement {
  AkClass ak_class = AkClass::kHost;
  protocol::Uuid vm_id{};
  protocol::TeeFamily tee = protocol::TeeFamily::kNone;
  base::Bytes measurement;  // MEASUREMENT or MRTD; empty without a TEE
  base::Bytes launch;       // the launch digest
  protocol::Protection protection = protocol::Protection::kNone;
  protocol::Lifetime lifetime = protocol::Lifetime::kPersistent;
  protocol::SeedOrigin origin = protocol::SeedOrigin::kOwn;
  std::uint64_t epoch = 0;  // of the VM's record at whoever certified
  base::Bytes ak_name;      // TPM Names
  base::Bytes ek_name;
  protocol::ClaimsDigest claims_digest{};  // SHA-256 of the runtime claims that justified it

  friend bool operator==(const AkStatement&, const AkStatement&) = default;
};

// encode() writes the JSON, compact and in order; decode_ak_statement() reads it and passes over
// members that it does not know. kCorrupt for one that is missing or misshaped.
std::string encode(const AkStatement& statement);
base::Result<AkStatement> decode_ak_statement(std::string_view text);

// ak_statement_of() reads that of a certificate, which nobody has verified here. kNotFound if it
// has none.
base::Result<AkStatement> ak_statement_of(const crypto::Certificate& certificate);

}  // namespace keybroker::evidence
