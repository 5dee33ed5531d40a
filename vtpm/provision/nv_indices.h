// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tss2/tss2_esys.h>

#include <span>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vtpm::provision {

// The indices that we define for the guest to read. Their numbers and attributes are those of
// Azure's vTPMs, their size is what every libtpms can hold.
inline constexpr TPM2_HANDLE kReportIndex = 0x01400001;
inline constexpr TPM2_HANDLE kExtendedClaimsIndex = 0x01400003;
inline constexpr TPM2_HANDLE kAkCertificateIndex = 0x01C101D0;
inline constexpr TPM2_HANDLE kAkChainIndex = 0x01C101D1;
inline constexpr UINT16 kIndexBytes = 2048;

// Where the TCG's clients look for the certificates of the EKs (EK Credential Profile for TPM 2.0,
// 2.2.1.4), with the attributes that swtpm_setup gives them. An index is as long as its
// certificate, which nobody writes over.
inline constexpr TPM2_HANDLE kRsaEkCertificateIndex = 0x01C00002;
inline constexpr TPM2_HANDLE kEccEkCertificateIndex = 0x01C0000A;
inline constexpr TPMA_NV kEkCertificateAttributes =
    TPMA_NV_PPWRITE | TPMA_NV_WRITEDEFINE | TPMA_NV_PPREAD | TPMA_NV_OWNERREAD | TPMA_NV_AUTHREAD |
    TPMA_NV_NO_DA | TPMA_NV_PLATFORMCREATE;
static_assert(kEkCertificateAttributes == 0x42072001);

// The index that the guest defines, and what it writes there goes into the next report.
inline constexpr TPM2_HANDLE kUserDataIndex = 0x01400002;

// Owner and index password read, only the password writes, the owner cannot undefine it and
// TPM2_Clear leaves it.
inline constexpr TPMA_NV kIndexAttributes = TPMA_NV_AUTHREAD | TPMA_NV_OWNERREAD |
                                            TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA |
                                            TPMA_NV_PLATFORMCREATE;
static_assert(kIndexAttributes == 0x42060004);

// IndexPassword is the authorization to write these indices, drawn anew whenever they are defined.
struct IndexPassword {
  base::Secret<32> bytes;
};

std::span<const TPM2_HANDLE> our_indices();

// define_index() defines one of them, empty, in the stead of whatever has its number. For a life of
// our own, where the platform's authorization is empty.
base::Result<void> define_index(ESYS_CONTEXT* esys, TPM2_HANDLE index,
                                const IndexPassword& password);

// put_ek_certificate() makes such an index in the stead of whatever has its number, writes it and
// locks it. drop_index() undefines what the platform or the owner defined; nothing happens where
// there is nothing. Both are for a life of our own.
base::Result<void> put_ek_certificate(ESYS_CONTEXT* esys, TPM2_HANDLE index, base::ByteView der);
base::Result<void> drop_index(ESYS_CONTEXT* esys, TPM2_HANDLE index);

// read_index() reads all of an index by the owner's authorization, which must be empty. kNotFound
// if there is no such index or it was never written; kDenied where the guest set that.
base::Result<base::Bytes> read_index(ESYS_CONTEXT* esys, TPM2_HANDLE index);

// The same by the index password.
base::Result<base::Bytes> read_index(ESYS_CONTEXT* esys, TPM2_HANDLE index,
                                     const IndexPassword& password);

// write_index() writes `content` and zeros behind it, so that nothing of what was there is left.
// kInvalidArgument for more than kIndexBytes. May be called while a guest uses the TPM.
base::Result<void> write_index(ESYS_CONTEXT* esys, TPM2_HANDLE index, const IndexPassword& password,
                               base::ByteView content);

}  // namespace vtpm::provision
