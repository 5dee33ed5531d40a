// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/issue.h"
#include "keybroker/crypto/private_key.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vtpm::tee_sim {

// Authority is a certificate and the key that signs under it.
struct Authority {
  keybroker::crypto::PrivateKey key;
  keybroker::crypto::Certificate certificate;
};

// certify() issues a certificate for `key`, signed by `issuer`, which may be the same key.
base::Result<Authority> certify(const keybroker::crypto::CertificateSpec& spec,
                                const keybroker::crypto::PrivateKey& key,
                                const keybroker::crypto::PrivateKey& issuer);

// encode_bundle() writes authorities as PEM, each key followed by its certificate: one file, so
// that a hierarchy is there whole or not at all.
base::Result<base::SecretBytes> encode_bundle(const std::vector<const Authority*>& authorities);

// decode_bundle() reads exactly `count` of them. kCorrupt otherwise, and where a certificate is not
// for the key in front of it.
base::Result<std::vector<Authority>> decode_bundle(base::ByteView bundle, std::size_t count);

}  // namespace vtpm::tee_sim
