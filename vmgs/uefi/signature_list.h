// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/uefi/variable.h"

namespace vmgs::uefi {

// What a list of signatures is of: certificates, or SHA-256 hashes.
extern const Guid kX509Signature;
extern const Guid kSha256Signature;

// SignatureList is an EFI_SIGNATURE_LIST (UEFI 32.4.1): signatures of one type and one size.
struct SignatureList {
  Guid type{};
  base::Bytes header;                   // of the list; empty in every type that is in use
  std::size_t signature_bytes = 0;      // each, owner included: at least 16
  std::vector<base::Bytes> signatures;  // owner (16 bytes) and data

  friend bool operator==(const SignatureList&, const SignatureList&) = default;
};

inline constexpr std::size_t kOwnerBytes = sizeof(Guid);
inline constexpr std::size_t kMaxSignatures = 65536;

// decode_signature_lists() reads the content of PK, KEK, db or dbx: lists one after another.
// kCorrupt for sizes that do not fit each other or the buffer, and more than kMaxSignatures.
base::Result<std::vector<SignatureList>> decode_signature_lists(base::ByteView bytes);

// encode_signature_lists() is its inverse.
base::Bytes encode_signature_lists(const std::vector<SignatureList>& lists);

// count() is how many signatures are in all of the lists.
std::size_t count(const std::vector<SignatureList>& lists);

// certificates_of() are the certificates in `lists`, DER, without their owners.
std::vector<base::Bytes> certificates_of(const std::vector<SignatureList>& lists);

// check_signature_lists() is kCorrupt for lists that firmware refuses though their sizes fit each
// other: of a type that UEFI does not define, or with a header or signatures of another size than
// the type's (UEFI 32.4.1; EDK2, CheckSignatureListFormat()). Nobody looks at what the signatures
// hold.
base::Result<void> check_signature_lists(const std::vector<SignatureList>& lists);

// What appending came to.
struct Appended {
  base::Bytes content;
  std::size_t added = 0;
  std::size_t known = 0;  // were there already, and were left out
};

// append_signatures() is what a variable with content `present` holds after an append of `more`:
// firmware leaves out each signature, owner and data, that is there already, and each list of which
// nothing remains, and puts the rest behind (EDK2, FilterSignatureList()). Errors of
// decode_signature_lists().
base::Result<Appended> append_signatures(base::ByteView present, base::ByteView more);

}  // namespace vmgs::uefi
