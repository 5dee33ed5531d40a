// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/tpm_quote.h"

#include <tss2/tss2_mu.h>

#include <algorithm>

#include "keybroker/evidence/event_log.h"
#include "vmgs/base/layout.h"

namespace keybroker::evidence {

namespace {

struct AttestHeadLayout {
  base::U32Be magic;
  base::U16Be type;
};

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "TPM signature: " + why);
}

ReadTpmQuote none(Reason reason, std::string why) {
  return {std::nullopt, Finding{reason, std::move(why)}};
}

template <typename Buffer>
base::Bytes buffer_bytes(const Buffer& buffer, std::size_t size) {
  return base::copy_of(std::as_bytes(std::span(buffer, size)));
}

PcrSelection selection_of(const TPMS_PCR_SELECTION& raw) {
  PcrSelection selection;
  selection.bank = raw.hash;
  for (unsigned byte = 0; byte < raw.sizeofSelect; ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      if ((raw.pcrSelect[byte] & (1U << bit)) != 0) {
        selection.pcrs.insert(static_cast<std::uint8_t>(8 * byte + bit));
      }
    }
  }
  return selection;
}

TpmQuote quote_of(const TPMS_ATTEST& attest) {
  TpmQuote quote;
  quote.qualified_signer = buffer_bytes(attest.qualifiedSigner.name, attest.qualifiedSigner.size);
  quote.extra_data = buffer_bytes(attest.extraData.buffer, attest.extraData.size);
  quote.clock = {attest.clockInfo.clock, attest.clockInfo.resetCount, attest.clockInfo.restartCount,
                 attest.clockInfo.safe == TPM2_YES};
  quote.firmware_version = attest.firmwareVersion;
  const auto& info = attest.attested.quote;
  for (std::uint32_t i = 0; i < info.pcrSelect.count; ++i) {
    quote.selections.push_back(selection_of(info.pcrSelect.pcrSelections[i]));
  }
  quote.pcr_digest = buffer_bytes(info.pcrDigest.buffer, info.pcrDigest.size);
  return quote;
}

bool is_one_form(const TPMS_ATTEST& attest, base::ByteView bytes) {
  base::Bytes again(sizeof(TPMS_ATTEST));
  std::size_t size = 0;
  return Tss2_MU_TPMS_ATTEST_Marshal(&attest, reinterpret_cast<std::uint8_t*>(again.data()),
                                     again.size(), &size) == TSS2_RC_SUCCESS &&
         std::ranges::equal(base::ByteView(again).first(size), bytes);
}

}  // namespace

ReadTpmQuote read_tpm_quote(base::ByteView attest) {
  if (attest.size() < sizeof(AttestHeadLayout)) {
    return none(Reason::kQuoteMalformed, "the TPMS_ATTEST is too short");
  }
  const auto head = base::load<AttestHeadLayout>(attest.first<sizeof(AttestHeadLayout)>());
  if (head.magic.value() != kTpmGenerated) {
    return none(Reason::kQuoteType, "no TPM made it: it has another magic number");
  }
  if (head.type.value() != kTpmAttestQuote) {
    return none(Reason::kQuoteType,
                "it is an attestation of type " + std::to_string(head.type.value()));
  }
  TPMS_ATTEST parsed{};
  std::size_t size = 0;
  if (Tss2_MU_TPMS_ATTEST_Unmarshal(reinterpret_cast<const std::uint8_t*>(attest.data()),
                                    attest.size(), &size, &parsed) != TSS2_RC_SUCCESS ||
      size != attest.size() || !is_one_form(parsed, attest)) {
    return none(Reason::kQuoteMalformed, "it is no TPMS_ATTEST, or something follows it");
  }
  return {quote_of(parsed), std::nullopt};
}

base::Result<TpmSignature> decode_tpm_signature(base::ByteView bytes) {
  TPMT_SIGNATURE parsed{};
  std::size_t size = 0;
  if (Tss2_MU_TPMT_SIGNATURE_Unmarshal(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                       bytes.size(), &size, &parsed) != TSS2_RC_SUCCESS ||
      size != bytes.size()) {
    return corrupt("it is no TPMT_SIGNATURE, or something follows it");
  }
  TpmSignature signature;
  signature.scheme = {parsed.sigAlg, parsed.signature.any.hashAlg};
  switch (parsed.sigAlg) {
    case TPM2_ALG_RSASSA:
      signature.rsa =
          buffer_bytes(parsed.signature.rsassa.sig.buffer, parsed.signature.rsassa.sig.size);
      return signature;
    case TPM2_ALG_RSAPSS:
      signature.rsa =
          buffer_bytes(parsed.signature.rsapss.sig.buffer, parsed.signature.rsapss.sig.size);
      return signature;
    case TPM2_ALG_ECDSA:
      signature.r = buffer_bytes(parsed.signature.ecdsa.signatureR.buffer,
                                 parsed.signature.ecdsa.signatureR.size);
      signature.s = buffer_bytes(parsed.signature.ecdsa.signatureS.buffer,
                                 parsed.signature.ecdsa.signatureS.size);
      return signature;
    default:
      return corrupt("scheme " + std::to_string(parsed.sigAlg) + " is not one of a quote");
  }
}

base::Result<void> verify(const TpmSignature& signature, base::ByteView attest,
                          const crypto::PublicKey& key) {
  const auto hash = hash_of_tpm(signature.scheme.hash);
  if (!hash || *hash == crypto::Hash::kSha1) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the signature is not over SHA-256 or a stronger hash");
  }
  switch (signature.scheme.scheme) {
    case kTpmRsaSsa:
      return crypto::verify_rsa_pkcs1(key, *hash, attest, signature.rsa);
    case kTpmRsaPss:
      return crypto::verify_rsa_pss(key, *hash, attest, signature.rsa);
    case kTpmEcdsa:
      return crypto::verify_ecdsa(key, *hash, attest, {signature.r, signature.s});
    default:
      return base::fail(base::ErrorCode::kInvalidArgument,
                        "the signature scheme is not known here");
  }
}

base::Bytes pcr_digest(const PcrValues& values, crypto::Hash hash) {
  base::Bytes joined;
  for (const auto& [index, value] : values) {
    joined.insert(joined.end(), value.begin(), value.end());
  }
  return crypto::digest(hash, joined);
}

}  // namespace keybroker::evidence
