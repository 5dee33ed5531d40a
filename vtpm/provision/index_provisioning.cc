// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/index_provisioning.h"

#include <string>
#include <utility>

#include "keybroker/evidence/ak_statement.h"
#include "vmgs/base/log.h"
#include "vmgs/crypto/random.h"
#include "vtpm/provision/credential.h"

namespace vtpm::provision {

namespace {

bool is_for_another(base::ByteView der, const std::optional<PublicKey>& key) {
  return key && !der.empty() && !has_certificate(der, *key);
}

// Whether a certificate states that its AK lives in a VM that was launched otherwise, as it was
// before a conversion. One that states nothing may be of any.
bool is_of_another_launch(base::ByteView der, const std::optional<Vouching>& vouching) {
  const auto certificates = certificates_in(der);
  if (!vouching || !certificates) {
    return false;
  }
  const auto stated = keybroker::evidence::ak_statement_of(certificates->front());
  if (!stated) {
    return false;
  }
  auto family = tee::TeeFamily::kNone;
  if (vouching->tee != nullptr) {
    const auto own = vouching->tee->own_report();
    family = own ? own->family : stated->tee;
  }
  return stated->launch != vouching->statement.launch || stated->tee != family;
}

base::Result<void> renew_index(ESYS_CONTEXT* esys, TPM2_HANDLE index, const IndexPassword& password,
                               const StoredCertificates& carried) {
  TRY(define_index(esys, index, password));
  const bool is_leaf = index == kAkCertificateIndex;
  if (!is_leaf && index != kAkChainIndex) {
    // The Name of an index changes with its first write. It must not while a guest is reading the
    // first report, in a session that authorizes what it has seen.
    return write_index(esys, index, password, {});
  }
  const auto& content = is_leaf ? carried.ak : carried.ak_chain;
  if (content.empty()) {
    return {};  // unwritten: that is how clients know that there is no certificate
  }
  return write_index(esys, index, password, content);
}

base::Result<void> renew_all(ESYS_CONTEXT* esys, Provisioned& provisioned,
                             StoredCertificates stored, const ProvisionWishes& wishes) {
  const bool new_seed = wishes.new_endorsement_seed;
  if (stored.ak.empty() || is_for_another(stored.ak, provisioned.rsa_ak) ||
      is_of_another_launch(stored.ak, wishes.vouching)) {
    stored.ak.clear();
    stored.ak_chain.clear();
  }
  TRY_ASSIGN(drawn, vmgs::crypto::random_secret<32>());
  auto password = std::make_shared<const IndexPassword>(IndexPassword{std::move(drawn)});
  for (const auto index : our_indices()) {
    TRY(renew_index(esys, index, *password, stored));
  }
  if (new_seed || is_for_another(stored.rsa_ek, provisioned.rsa_ek)) {
    TRY(drop_index(esys, kRsaEkCertificateIndex));
  }
  if (new_seed || is_for_another(stored.ecc_ek, provisioned.ecc_ek)) {
    TRY(drop_index(esys, kEccEkCertificateIndex));
  }
  provisioned.index_password = std::move(password);
  return {};
}

// Certificates of EKs are less than a TPM can attest without.
void put_ek_certificates(ESYS_CONTEXT* esys, const Certificates& given,
                         const WantedCertificates& wanted, const StoredCertificates& stored) {
  const auto put = [esys](bool is_wanted, TPM2_HANDLE index, const base::Bytes& der,
                          const base::Bytes& there) {
    if (!is_wanted || der.empty() || der == there) {
      return;
    }
    if (const auto done = put_ek_certificate(esys, index, der); !done) {
      base::log(base::LogLevel::kWarning,
                "an EK certificate could not be put in: " + done.error().message);
    }
  };
  put(wanted.rsa_ek, kRsaEkCertificateIndex, given.rsa_ek, stored.rsa_ek);
  put(wanted.ecc_ek, kEccEkCertificateIndex, given.ecc_ek, stored.ecc_ek);
}

base::Result<keybroker::crypto::Certificate> certify(ESYS_CONTEXT* esys,
                                                     const Provisioned& provisioned,
                                                     const WantedCertificates& wanted,
                                                     const Vouching& vouching,
                                                     const StoredCertificates& stored) {
  const ClaimedKeys keys{.rsa_ak = *provisioned.rsa_ak,
                         .rsa_ek = *provisioned.rsa_ek,
                         .ecc_ak = provisioned.ecc_ak,
                         .ecc_ek = provisioned.ecc_ek};
  const auto answer = [esys](const CredentialChallenge& challenge) {
    return activate_credential(esys, challenge);
  };
  TRY_ASSIGN(given, ask_for_certificates(vouching, keys, wanted, answer, {}));
  TRY(write_index(esys, kAkChainIndex, *provisioned.index_password, given.ak_chain));
  TRY(write_index(esys, kAkCertificateIndex, *provisioned.index_password, given.ak));
  put_ek_certificates(esys, given, wanted, stored);
  return ak_certificate_of(given);
}

void note_certificate(Provisioned& provisioned, const keybroker::crypto::Certificate& of_ak) {
  provisioned.renew_at = of_ak.renewal_time();
  provisioned.ends_at = of_ak.not_after();
}

// Whether there is a good certificate for `key` in the first half of its life.
bool is_young(base::ByteView der, const PublicKey& key, std::chrono::sys_seconds now) {
  const auto certificate = good_certificate(der, key, now);
  return certificate && certificate->renewal_time() > now;
}

}  // namespace

bool certificates_fit(const StoredCertificates& stored, const PublicKey& rsa_ak,
                      const PublicKey& rsa_ek, const ProvisionWishes& wishes) {
  if (!wishes.vouching) {
    return !is_for_another(stored.ak, rsa_ak) && !is_for_another(stored.rsa_ek, rsa_ek);
  }
  return !wishes.ask_for_certificates && is_young(stored.ak, rsa_ak, wishes.now) &&
         is_young(stored.rsa_ek, rsa_ek, wishes.now) &&
         !is_of_another_launch(stored.ak, wishes.vouching);
}

void renew_indices(ESYS_CONTEXT* esys, Provisioned& provisioned, const StoredCertificates& stored,
                   const ProvisionWishes& wishes) {
  const auto renewed = renew_all(esys, provisioned, stored, wishes);
  if (!renewed && provisioned.obstacle == Obstacle::kNone) {
    provisioned.obstacle = Obstacle::kIndexSquatted;
    provisioned.reason = renewed.error().message;
  }
}

void see_to_certificates(ESYS_CONTEXT* esys, Provisioned& provisioned,
                         const StoredCertificates& stored, const ProvisionWishes& wishes) {
  if (!provisioned.index_password || !provisioned.rsa_ak || !provisioned.rsa_ek) {
    return;  // an obstacle says why
  }
  if (const auto there = good_certificate(stored.ak, *provisioned.rsa_ak, wishes.now);
      there && !is_of_another_launch(stored.ak, wishes.vouching)) {
    note_certificate(provisioned, *there);
  }
  if (!wishes.vouching ||
      certificates_fit(stored, *provisioned.rsa_ak, *provisioned.rsa_ek, wishes)) {
    return;
  }
  WantedCertificates wanted;
  const auto wants = [&wishes](const base::Bytes& der, const PublicKey& key) {
    return wishes.ask_for_certificates || !is_young(der, key, wishes.now);
  };
  wanted.rsa_ek = wants(stored.rsa_ek, *provisioned.rsa_ek);
  wanted.ecc_ek = provisioned.ecc_ek && wants(stored.ecc_ek, *provisioned.ecc_ek);
  wanted.new_seeds = !has_certificate(stored.rsa_ek, *provisioned.rsa_ek);
  auto certified = certify(esys, provisioned, wanted, *wishes.vouching, stored);
  if (certified) {
    note_certificate(provisioned, *certified);
    return;
  }
  base::log(base::LogLevel::kWarning,
            "the attestation key was not certified: " + certified.error().message);
  provisioned.uncertified = std::move(certified).error();
  if (wishes.ask_for_certificates) {
    provisioned.renew_at.reset();  // what is there has been revoked
    provisioned.ends_at.reset();
  }
}

}  // namespace vtpm::provision
