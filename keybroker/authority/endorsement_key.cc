// SPDX-License-Identifier: Apache-2.0
#include "keybroker/authority/endorsement_key.h"

#include <algorithm>
#include <string>

#include "keybroker/authority/authority.h"
#include "keybroker/crypto/der.h"

namespace keybroker::authority {

namespace {

using crypto::encode_der_constructed;
using crypto::encode_der_integer;
using crypto::encode_der_oid;
using crypto::encode_der_utf8;

constexpr std::uint8_t kSequence = 0x30;
constexpr std::uint8_t kSet = 0x31;
constexpr std::uint8_t kDirectoryName = 0xA4;  // [4] of GeneralName; explicit, as Name is a CHOICE

// As TPM2_GetCapability gives them: TPM_PT_MANUFACTURER, TPM_PT_VENDOR_STRING and
// TPM_PT_FIRMWARE_VERSION_1 of libtpms. TPM_PT_REVISION is 1.64.
constexpr const char* kManufacturer = "id:49424D00";
constexpr const char* kModel = "SW   TPM";
constexpr const char* kVersion = "id:20191023";
constexpr std::int64_t kSpecificationRevision = 164;

base::Bytes attribute(const char* oid, const char* value) {
  return encode_der_constructed(
      kSet, {encode_der_constructed(kSequence, {encode_der_oid(oid), encode_der_utf8(value)})});
}

// GeneralNames with one directoryName: manufacturer, model, version.
base::Bytes device_name() {
  const auto name = encode_der_constructed(
      kSequence, {attribute("2.23.133.2.1", kManufacturer), attribute("2.23.133.2.2", kModel),
                  attribute("2.23.133.2.3", kVersion)});
  return encode_der_constructed(kSequence, {encode_der_constructed(kDirectoryName, {name})});
}

// SubjectDirectoryAttributes with the tPMSpecification: family, level, revision.
base::Bytes specification() {
  const auto value = encode_der_constructed(
      kSequence,
      {encode_der_utf8("2.0"), encode_der_integer(0), encode_der_integer(kSpecificationRevision)});
  return encode_der_constructed(
      kSequence, {encode_der_constructed(kSequence, {encode_der_oid("2.23.133.2.16"),
                                                     encode_der_constructed(kSet, {value})})});
}

}  // namespace

bool is_endorsement_key(const evidence::TpmPublic& ek) {
  constexpr std::uint32_t kWanted = evidence::kTpmDecrypt | evidence::kTpmRestricted |
                                    evidence::kTpmFixedTpm | evidence::kTpmFixedParent |
                                    evidence::kTpmSensitiveDataOrigin;
  return (ek.attributes & kWanted) == kWanted && (ek.attributes & evidence::kTpmSign) == 0;
}

std::vector<crypto::Extension> ek_extensions() {
  return {{"2.5.29.17", true, device_name()},
          {"2.5.29.9", false, specification()},
          {"2.5.29.37", false,
           encode_der_constructed(kSequence, {encode_der_oid(std::string(kEkPurposeOid))})}};
}

base::Result<std::optional<crypto::Certificate>> Authority::certify_ek(const AkStatement& statement,
                                                                       CertifiedKey which,
                                                                       base::ByteView area,
                                                                       const Records& earlier,
                                                                       crypto::Time now) {
  if (area.empty()) {
    return std::optional<crypto::Certificate>();
  }
  TRY_ASSIGN(ek, evidence::decode_tpm_public(area));
  if (!is_endorsement_key(ek) || ek.key.is_rsa() != (which == CertifiedKey::kRsaEk)) {
    return base::fail(base::ErrorCode::kDenied,
                      "no certificate: this is no " + std::string(name(which)));
  }
  for (const auto& record : earlier) {
    if (record.certified == which && record.statement.ak_class == statement.ak_class) {
      TRY_ASSIGN(certificate, young(record, ek.key, now));
      if (certificate) {
        return certificate;
      }
    }
  }
  crypto::CertificateSpec spec;
  spec.use = ek.key.is_rsa() ? crypto::EndEntityUse::kKeyEncipherment
                             : crypto::EndEntityUse::kKeyAgreement;
  spec.not_before = now;
  // A TPM that is gone at the next start needs no long life; and as what is revoked stays in lists
  // until it ends, no certificate lasts as long as its EK.
  spec.not_after =
      now + (statement.lifetime == protocol::Lifetime::kPersistent ? rules_.ek_certificate_life
                                                                   : rules_.certificate_life);
  spec.extensions = ek_extensions();
  TRY_ASSIGN(certificate, issue_and_record(std::move(spec), ek.key, which, statement));
  return std::optional(std::move(certificate));
}

}  // namespace keybroker::authority
