// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vtpm/provision/certifier.h"
#include "vtpm/provision/keys.h"

namespace vtpm::provision {

// certificates_in() reads DER certificates one behind the other, up to the end or to the zeros that
// fill an index. At least one and at most eight; kCorrupt otherwise.
base::Result<std::vector<keybroker::crypto::Certificate>> certificates_in(base::ByteView content);

// is_for() tells whether a certificate is for the key with this public area.
bool is_for(const keybroker::crypto::Certificate& certificate, const PublicKey& key);

// StoredCertificates is what a TPM has in its NV indices, as it lies in its permanent state: to
// read it there takes no authorization. A guest that muddles its own state has no certificates
// here.
struct StoredCertificates {
  base::Bytes ak;  // DER, empty where there is none
  base::Bytes ak_chain;
  base::Bytes rsa_ek;
  base::Bytes ecc_ek;

  static StoredCertificates in(base::ByteView permanent_state);
};

// How far the clocks of an authority and of a host may be apart.
inline constexpr std::chrono::minutes kClockSkew{5};

// good_certificate() is `der`, if that is one certificate for `key` that has begun, give or take
// kClockSkew, and has not ended by `now`.
std::optional<keybroker::crypto::Certificate> good_certificate(base::ByteView der,
                                                               const PublicKey& key,
                                                               std::chrono::sys_seconds now);

// ak_certificate_of() is the AK's of those that expect_fitting() has passed.
base::Result<keybroker::crypto::Certificate> ak_certificate_of(const Certificates& fitting);

// has_certificate() tells whether `der` is one certificate for `key`.
bool has_certificate(base::ByteView der, const PublicKey& key);

// expect_fitting() looks at what an authority gave: the AK's certificate is for the AK, the chain
// begins with who issued it, each fits its index, and those for EKs are for these. kCorrupt for
// the AK's; a certificate of an EK that does not fit is taken out.
base::Result<Certificates> expect_fitting(Certificates given, const PublicKey& ak,
                                          const std::optional<PublicKey>& rsa_ek,
                                          const std::optional<PublicKey>& ecc_ek);

}  // namespace vtpm::provision
