// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/openssl.h"
#include "keybroker/crypto/time.h"

// What certificates and CRLs share. For the sources of this room.
namespace keybroker::crypto::x509 {

// time_of() is kCorrupt for what is no time of RFC 5280.
base::Result<Time> time_of(const ASN1_TIME* time);

// text_of() is a string in UTF-8, or a name as RFC 2253 writes it.
std::string text_of(const ASN1_STRING* text);
std::string text_of(const X509_NAME* name);

// magnitude_of() is big-endian without leading zeros. No serial number of RFC 5280 is negative.
base::Bytes magnitude_of(const ASN1_INTEGER* number);

SignatureAlgorithm algorithm_of(const X509_ALGOR* algorithm);

}  // namespace keybroker::crypto::x509
