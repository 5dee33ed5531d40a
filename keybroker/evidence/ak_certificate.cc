// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/ak_certificate.h"

#include "keybroker/evidence/certificate_checks.h"
#include "keybroker/protocol/uuid.h"

namespace keybroker::evidence {

namespace {

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

std::optional<Finding> examine_class_of(const std::optional<AkStatement>& statement,
                                        const AkPolicy& policy) {
  if (policy.classes.empty()) {
    return std::nullopt;
  }
  if (!statement) {
    return found(Reason::kAkCertificateClass,
                 "no certificate of a trusted root says which class the AK is of");
  }
  if (!policy.classes.contains(statement->ak_class)) {
    return found(Reason::kAkCertificateClass,
                 "it is of class '" + std::string(name(statement->ak_class)) + "'");
  }
  return std::nullopt;
}

std::optional<Finding> examine_vm(const std::optional<AkStatement>& statement, const JudgedAk& ak,
                                  const ExpectedVm& expected) {
  if (!statement) {
    // A report that binds claims says it as well; otherwise nobody who is trusted does.
    return expected.vm_id && !expected.claims.bound
               ? found(Reason::kAkCertificateVm, "it does not say of which VM the AK is")
               : std::nullopt;
  }
  if (ak.name_is_certain && ak.name && *ak.name != statement->ak_name) {
    return found(Reason::kAkCertificateVm, "it states another Name than the AK has");
  }
  const auto& said = statement->vm_id;
  const auto* extended = expected.claims.extended;
  if ((expected.vm_id && *expected.vm_id != said) ||
      (extended != nullptr && extended->vm_id != said)) {
    return found(Reason::kAkCertificateVm, "it is for VM " + protocol::uuid_text(said));
  }
  return std::nullopt;
}

}  // namespace

std::optional<AkStatement> judge_ak_certificate(const JudgedAk& ak, const ExpectedVm& expected,
                                                const AkPolicy& policy, const TrustStore& store,
                                                Checklist& list) {
  const bool certified = !ak.certificate_path.empty();
  if (!certified && policy.classes.empty()) {
    list.not_asked("ak.certificate.class", "there is no certificate of a trusted root");
    if (expected.vm_id && expected.claims.runtime == nullptr) {
      list.fail("ak.certificate.vm", Reason::kAkCertificateVm,
                "neither claims nor a certificate of a trusted root say of which VM the AK is");
    } else {
      list.not_asked("ak.certificate.vm", "there is no certificate of a trusted root");
    }
    return std::nullopt;
  }
  std::optional<AkStatement> statement;
  if (certified) {
    // One that cannot be read says nothing.
    if (auto read = ak_statement_of(ak.certificate_path.front())) {
      statement = *std::move(read);
    }
  }
  auto finding = examine_class(ak.certificate_path, store);
  list.judge("ak.certificate.class", finding ? finding : examine_class_of(statement, policy));
  if (certified) {
    list.judge("ak.certificate.vm", examine_vm(statement, ak, expected));
  } else {
    list.not_run("ak.certificate.vm", "there is no certificate of a trusted root");
  }
  return statement;
}

}  // namespace keybroker::evidence
