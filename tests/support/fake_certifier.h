// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/issue.h"
#include "keybroker/crypto/private_key.h"
#include "keybroker/evidence/ak_statement.h"
#include "vtpm/provision/certifier.h"

namespace tests::support {

// FakeCertifier is an authority of one key in the test's own process: it believes every piece of
// evidence, and has a TPM without evidence prove its AK by a real credential.
class FakeCertifier final : public vtpm::provision::Certifier {
 public:
  FakeCertifier();

  base::Result<vtpm::provision::Certificates> certify(
      const vtpm::provision::CertificationOfEvidence& request,
      const std::stop_token& stop) override;
  base::Result<vtpm::provision::Certificates> certify(
      const vtpm::provision::CertificationOfHost& request,
      const vtpm::provision::AnswerChallenge& answer, const std::stop_token& stop) override;

  // issue() makes a certificate of this authority for the key with this TPMT_PUBLIC.
  [[nodiscard]] keybroker::crypto::Certificate issue(base::ByteView area) const;
  [[nodiscard]] keybroker::crypto::Certificate issue(const keybroker::crypto::PublicKey& key) const;

  // How long certificates live, from when.
  std::chrono::sys_seconds now{std::chrono::hours(24 * 365 * 56)};
  std::chrono::hours life{24 * 7};

  // What its certificates of AKs state, if anything.
  std::optional<keybroker::evidence::AkStatement> states;

  // What it says in the place of an answer while it is set, and what it does to an answer.
  std::optional<base::Error> refuses;
  std::function<void(vtpm::provision::Certificates&)> spoils;

  // A TPM whose AK was proven once is believed.
  bool renews_without_proof = false;

  int asked = 0;
  std::optional<vtpm::provision::CertificationOfEvidence> of_evidence;
  std::optional<vtpm::provision::CertificationOfHost> of_host;

 private:
  [[nodiscard]] keybroker::crypto::Certificate issue_with(
      const keybroker::crypto::PublicKey& key,
      std::vector<keybroker::crypto::Extension> extensions) const;
  [[nodiscard]] vtpm::provision::Certificates given(const keybroker::crypto::PublicKey& ak,
                                                    base::ByteView rsa_ek,
                                                    base::ByteView ecc_ek) const;

  keybroker::crypto::PrivateKey key_;
  std::optional<keybroker::crypto::Certificate> certificate_;
};

}  // namespace tests::support
