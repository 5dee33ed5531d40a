// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/registered_launch.h"

#include <algorithm>

#include "vmgs/base/log.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::broker {

namespace {

using protocol::Protection;
using protocol::TeeFamily;
using store::VmStatus;

constexpr std::size_t kSnpDigestBytes = 32;

bool is_named(const protocol::ReleaseClaims& claims, const store::Launch& launch) {
  return std::ranges::equal(claims.launch_digest,
                            launch_digest_bytes(launch.digest, launch.family));
}

TeeFamily family_of(const protocol::ReleaseClaims& claims) {
  return claims.launch_digest.size() == kSnpDigestBytes ? TeeFamily::kSevSnp : TeeFamily::kTdx;
}

Outcome<std::monostate> judge_status(const store::VmRecord& record) {
  if (record.status == VmStatus::kDeleted) {
    return refuse(RefusalReason::kVmDeleted, "");
  }
  if (record.status == VmStatus::kDisabled) {
    return refuse(RefusalReason::kVmDisabled, "");
  }
  if (record.clone_pending) {
    return refuse(RefusalReason::kCloneNotOffered, "");
  }
  return {};
}

// Why the claims name no launch of this VM that counts now.
tl::unexpected<Failure> refuse_launch(const store::VmRecord& record,
                                      const protocol::ReleaseClaims& claims) {
  const auto& registered = record.registration.launch;
  const auto seen = "The registered digest is " +
                    base::to_hex(launch_digest_bytes(registered.digest, registered.family)) +
                    ", the claims have " + base::to_hex(claims.launch_digest);
  if (record.previous && is_named(claims, record.previous->launch)) {
    return refuse(RefusalReason::kLaunchDocumentReplaced, seen);
  }
  if (family_of(claims) != registered.family) {
    return refuse(RefusalReason::kTeeOther,
                  "It is registered for " + std::string(name(registered.family)) +
                      ", and the claims have a digest of " +
                      std::to_string(claims.launch_digest.size()) + " bytes");
  }
  return refuse(RefusalReason::kLaunchDocumentOther, seen);
}

// The record store is not trusted further than a digest goes: everything that decides is read from
// the document, which the evidence has the digest of.
Outcome<protocol::LaunchDocument> document_of(const store::Launch& launch,
                                              const store::VmRegistration& registration) {
  const auto document = protocol::decode_launch_document(launch.document);
  if (!document) {
    return refuse(RefusalReason::kRecordsAltered,
                  "Its launch document: " + document.error().message);
  }
  if (document->vm_id != registration.vm_id || document->tee_family != launch.family ||
      protocol::launch_digest(launch.document, launch.family) != launch.digest) {
    return refuse(RefusalReason::kRecordsAltered, "Its launch document is not that of its digest");
  }
  if (document->tenant != registration.tenant) {
    return refuse(RefusalReason::kRecordsAltered, "Its launch document names another tenant");
  }
  return *document;
}

}  // namespace

Outcome<store::VmRecord> load_registered(store::BrokerRecords& records,
                                         const protocol::Uuid& vm_id) {
  auto record = records.vm(vm_id);
  if (record) {
    return *std::move(record);
  }
  if (record.error().code == base::ErrorCode::kNotFound) {
    return refuse(RefusalReason::kVmUnregistered, "");
  }
  return of_records(std::move(record).error());
}

tl::unexpected<Failure> of_records(base::Error error) {
  if (error.code != base::ErrorCode::kAuthentication) {
    return tl::unexpected<Failure>(std::move(error));
  }
  base::log(base::LogLevel::kError, error.message);
  return refuse(RefusalReason::kRecordsAltered, "");
}

base::Bytes launch_digest_bytes(const protocol::LaunchDigest& digest, TeeFamily family) {
  auto bytes = base::copy_of(digest.bytes);
  if (family == TeeFamily::kSevSnp) {
    bytes.resize(kSnpDigestBytes);
  }
  return bytes;
}

Outcome<RegisteredLaunch> judge_registration(const store::VmRecord& record,
                                             const protocol::ReleaseClaims& claims,
                                             crypto::Time now) {
  if (auto status = judge_status(record); !status) {
    return failed(std::move(status));
  }
  const auto& current = record.registration.launch;
  const bool converting = record.status == VmStatus::kConverting && record.previous;
  const bool previous_counts = converting && now < record.previous->until;
  const bool is_current = is_named(claims, current);
  if (!is_current && !(previous_counts && is_named(claims, record.previous->launch))) {
    return refuse_launch(record, claims);
  }
  const auto& launch = is_current ? current : record.previous->launch;
  auto document = document_of(launch, record.registration);
  if (!document) {
    return failed(std::move(document));
  }
  // Under the new launch of a conversion away from the broker, the old state has still to be
  // opened.
  if (document->protection != Protection::kBroker &&
      !(converting && record.previous->launch.protection == Protection::kBroker)) {
    return refuse(RefusalReason::kProtectionOther,
                  "Its protection is " + std::string(name(document->protection)));
  }
  RegisteredLaunch registered{launch.family, launch_digest_bytes(launch.digest, launch.family),
                              *std::move(document), std::nullopt, !is_current};
  if (registered.document.policy_digest) {
    if (!launch.execution_policy) {
      return refuse(RefusalReason::kExecutionPolicyMissing, "");
    }
    registered.execution_policy = vmgs::crypto::sha256(*launch.execution_policy);
    if (registered.execution_policy != registered.document.policy_digest) {
      return refuse(RefusalReason::kExecutionPolicyAltered,
                    "The document has " + base::to_hex(*registered.document.policy_digest) +
                        ", the registered text " + base::to_hex(*registered.execution_policy));
    }
  }
  return registered;
}

}  // namespace keybroker::broker
