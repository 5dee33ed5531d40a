// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace keybroker::evidence {

// What kind of thing is wrong. Programs branch on this; the reason below it is for logs, tests and
// the people who read them.
enum class Stage : std::uint8_t {
  kFormat,     // bytes do not follow their format
  kChain,      // certificates do not lead to a root that is trusted
  kRevoked,    // a certificate was taken back
  kStale,      // not valid yet, no longer valid, or missing where it must be fresh
  kSignature,  // a signature does not verify
  kMismatch,   // two authentic things disagree
  kPolicy,     // authentic, and not acceptable
};

// name() is the stage as a stable lower-case word.
std::string_view name(Stage stage);

// Why evidence is refused. The codes of kReasons are a contract: they appear in logs, in scripts
// and in `attest explain`, and never change their meaning.
enum class Reason : std::uint8_t {
  // The envelope and the roots.
  kEvidenceEmpty,
  kEvidenceTooLarge,
  kTeeRefused,
  kEvidenceContradiction,
  kSimulatedInProduction,
  // SNP: the report by itself.
  kSnpReportSize,
  kSnpReportVersion,
  kSnpReportAlgorithm,
  kSnpReportReserved,
  kSnpSignatureForm,
  kSnpSigningKeyUnknown,
  kSnpReportUnsigned,
  kSnpVmplRange,
  // SNP: certificates.
  kSnpProductUnknown,
  kSnpChainShape,
  kSnpIntermediateKind,
  kSnpRootUntrusted,
  kSnpChainBroken,
  kSnpChainConstraint,
  kSnpChainExpired,
  kSnpChainNotYetValid,
  kSnpChainAlgorithm,
  kSnpCrlMissing,
  kSnpCrlForged,
  kSnpCrlStale,
  kSnpIntermediateRevoked,
  kSnpSplMalformed,
  kSnpHwidMalformed,
  kSnpProductMismatch,
  kSnpSignerMismatch,
  kSnpChipMismatch,
  kSnpChipMasked,
  kSnpTcbMismatch,
  kSnpSignatureInvalid,
  // SNP: policy.
  kSnpTcbOrder,
  kSnpTcbTooLow,
  kSnpCommittedBehind,
  kSnpDebugAllowed,
  kSnpMigrationAllowed,
  kSnpGuestPolicy,
  kSnpVmplRefused,
  kSnpProductRefused,
  kSnpSignerRefused,
  kSnpUnpinned,
  kSnpMeasurementUnknown,
  kSnpIdKeyUnknown,
  kSnpAuthorKeyInconsistent,
  kSnpHostDataUnknown,
  kSnpGuestSvnTooLow,
  kSnpPlatformRefused,
  kSnpChipUnknown,
  // TDX: the quote by itself.
  kTdReportMalformed,
  kTdReportIsNoEvidence,
  kTdxQuoteHeader,
  kTdxQuoteBody,
  kTdxQuoteLengths,
  kTdxQuotePadding,
  kTdxAttestationKey,
  // TDX: certificates and revocation.
  kTdxChainShape,
  kTdxRootUntrusted,
  kTdxChainBroken,
  kTdxChainConstraint,
  kTdxChainExpired,
  kTdxChainNotYetValid,
  kTdxChainAlgorithm,
  kTdxPckNames,
  kTdxPckExtension,
  kTdxCrlMissing,
  kTdxCrlForged,
  kTdxCrlStale,
  kTdxCaRevoked,
  kTdxPckRevoked,
  // TDX: what is signed by what.
  kTdxQeBinding,
  kTdxQeSignature,
  kTdxQuoteSignature,
  // TDX: collateral.
  kTdxTcbInfoMissing,
  kTdxTcbInfoMalformed,
  kTdxTcbInfoForged,
  kTdxTcbInfoStale,
  kTdxTcbInfoOther,
  kTdxQeIdentityMissing,
  kTdxQeIdentityMalformed,
  kTdxQeIdentityForged,
  kTdxQeIdentityStale,
  kTdxQeIdentityOther,
  kTdxTcbSignerRevoked,
  kTdxEvaluationTooOld,
  // TDX: TCB and policy.
  kTdxQeMismatch,
  kTdxQeUnsupported,
  kTdxTcbUnsupported,
  kTdxModuleUnknown,
  kTdxModuleMismatch,
  kTdxModuleUnsupported,
  kTdxTcbStatus,
  kTdxTcbDate,
  kTdxTcbAdvisory,
  kTdxDebug,
  kTdxSeamAttributes,
  kTdxAttributes,
  kTdxXfam,
  kTdxServiceTd,
  kTdxUnpinned,
  kTdxMeasurementUnknown,
  kTdxConfigUnknown,
  // Claims.
  kReportDataUnpinned,
  kReportDataMismatch,
  kHclMalformed,
  kHclForm,
  kHclTeeType,
  kHclHashType,
  kClaimsBinding,
  kClaimsMalformed,
  kExtendedClaimsMissing,
  kExtendedClaimsBinding,
  kTdReportMismatch,
  kLaunchMismatch,
  kVmIdMismatch,
  kUserDataMismatch,
  // TPM: the AK and the quote.
  kNonceUnpinned,
  kNonceEmpty,
  kNonceMismatch,
  kAkMissing,
  kAkMalformed,
  kAkWeak,
  kAkAttributes,
  kAkMismatch,
  kAkUntrusted,
  kAkUnexpected,
  kAkCertificateMissing,
  kAkCertificateMalformed,
  kAkCertificateChain,
  kAkCertificateStale,
  kAkCertificateRevoked,
  kAkCertificateUse,
  kAkCertificateClass,
  kAkCertificateVm,
  kAkCrlMissing,
  kAkCrlForged,
  kAkCrlStale,
  kQuoteMissing,
  kQuoteMalformed,
  kQuoteType,
  kQuoteSigner,
  kQuoteScheme,
  kQuoteSignature,
  kQuoteBanks,
  kQuoteBankWeak,
  kQuoteSelection,
  kPcrSet,
  kPcrDigest,
  kPcrUnexpected,
  kQuoteCounters,
  // Event logs and the boot.
  kLogMissing,
  kLogMalformed,
  kLogBankMissing,
  kLogReplay,
  kLogNoEvents,
  kLogRegister,
  kLogDigestData,
  kBootPcrMissing,
  kBootUnexpectedEvent,
  kBootSeparator,
  kBootVariableRepeated,
  kBootDebugMode,
  kBootSecureBootUnknown,
  kBootSecureBootOff,
  kBootKeysEmpty,
  kBootKeyUnknown,
  kBootDbxTooOld,
  kBootAuthorityUnknown,
};

// A ReasonCard is what is known about a reason before it happens.
struct ReasonCard {
  Reason reason;
  std::string_view code;  // "snp-signature-invalid"
  Stage stage;
  std::string_view meaning;  // one sentence
  std::string_view remedy;   // what to do next, one sentence
};

// all_reasons() lists every reason, in the order of the enumeration.
std::span<const ReasonCard> all_reasons();

// card() is that of one reason, parse_reason() the reason of a code.
const ReasonCard& card(Reason reason);
std::optional<Reason> parse_reason(std::string_view code);

}  // namespace keybroker::evidence
