// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/authority/ak_statement.h"
#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/issue.h"
#include "keybroker/crypto/private_key.h"

namespace keybroker::authority {

// IssuingCa issues the AK certificates of one class, under a root that signed nothing else. Both
// are P-384.
struct IssuingCa {
  crypto::PrivateKey key;
  crypto::Certificate certificate;
  crypto::Certificate root;
};

// ca_name() is the name of a class's issuing CA.
crypto::DistinguishedName ca_name(AkClass ak_class);

// make_issuing_ca() draws a root and an issuing CA of 10 years; the root's key is forgotten. The
// root of class `simulated` carries the simulator's marker.
base::Result<IssuingCa> make_issuing_ca(AkClass ak_class, crypto::Time now);

}  // namespace keybroker::authority
