// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "keybroker/protocol/instance.pb.h"
#include "tools/vtpm-instance/link_exchange.h"
#include "vmgs/base/result.h"
#include "vtpm/provision/certifier.h"

namespace tools::vtpm_instance {

// LinkCertifier asks the authority of vtpmd over the instance's link. One request is open at a
// time; certify() may be called on any thread.
class LinkCertifier final : public vtpm::provision::Certifier {
 public:
  // How long certify() waits for each answer: an authority on the same host needs milliseconds.
  static constexpr std::chrono::seconds kPatience{8};

  explicit LinkCertifier(LinkEnds link);

  // exchange() is for whoever reads the link.
  LinkExchange<strongroom::instance::v1::CertificationAnswer>& exchange() { return exchange_; }

  base::Result<vtpm::provision::Certificates> certify(
      const vtpm::provision::CertificationOfEvidence& request,
      const std::stop_token& stop) override;
  base::Result<vtpm::provision::Certificates> certify(
      const vtpm::provision::CertificationOfHost& request,
      const vtpm::provision::AnswerChallenge& answer, const std::stop_token& stop) override;

 private:
  base::Result<strongroom::instance::v1::CertificationAnswer> ask(
      strongroom::instance::v1::CertificationRequest& request, const std::stop_token& stop);

  LinkExchange<strongroom::instance::v1::CertificationAnswer> exchange_;
};

}  // namespace tools::vtpm_instance
