// SPDX-License-Identifier: Apache-2.0
#include "tools/attest/guest_tpm.h"

#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "keybroker/evidence/event_log.h"
#include "vmgs/base/layout.h"

namespace tools::attest {

namespace {

using keybroker::evidence::PcrValues;
using keybroker::evidence::QuoteEvidence;

struct EsysFree {
  void operator()(void* memory) const { Esys_Free(memory); }
};

template <typename T>
using Given = std::unique_ptr<T, EsysFree>;

std::string hex(std::uint32_t number) {
  base::U32Be bytes;
  bytes = number;
  return base::to_hex(base::view(bytes));
}

// The response code without the layer that it came through and the number of what it is about.
std::uint32_t plain(TSS2_RC code) {
  const auto tpm = code & 0xFFFU;
  return (tpm & TPM2_RC_FMT1) != 0 ? tpm & 0xBFU : tpm;
}

auto refused(TSS2_RC code, const std::string& what) {
  const auto text = what + " (TSS code 0x" + hex(code) + ")";
  switch (plain(code)) {
    case TPM2_RC_HANDLE:
    case TPM2_RC_NV_UNINITIALIZED:
      return base::fail(base::ErrorCode::kNotFound, text + ": it is not there, or not written yet");
    case TPM2_RC_BAD_AUTH:
    case TPM2_RC_AUTH_FAIL:
      return base::fail(base::ErrorCode::kDenied,
                        text + ": the TPM's owner set a password; give it with --owner-auth");
    case TPM2_RC_RETRY:
    case TPM2_RC_YIELDED:
    case TPM2_RC_TESTING:
      return base::fail(base::ErrorCode::kUnavailable, text + ": try again in two seconds");
    default:
      return base::fail(base::ErrorCode::kIo, text);
  }
}

TPML_PCR_SELECTION selection_of(keybroker::crypto::Hash bank, const std::set<std::uint8_t>& pcrs) {
  TPML_PCR_SELECTION selection{};
  selection.count = 1;
  auto& one = selection.pcrSelections[0];
  one.hash = keybroker::evidence::tpm_of_hash(bank);
  one.sizeofSelect = 3;
  for (const auto pcr : pcrs) {
    one.pcrSelect[pcr / 8] = static_cast<BYTE>(one.pcrSelect[pcr / 8] | (1U << (pcr % 8U)));
  }
  return selection;
}

std::set<std::uint8_t> pcrs_of(const TPML_PCR_SELECTION& selection) {
  std::set<std::uint8_t> pcrs;
  for (std::uint32_t i = 0; i < selection.count; ++i) {
    const auto& one = selection.pcrSelections[i];
    for (unsigned pcr = 0; pcr < 8U * one.sizeofSelect; ++pcr) {
      if ((one.pcrSelect[pcr / 8] & (1U << (pcr % 8U))) != 0) {
        pcrs.insert(static_cast<std::uint8_t>(pcr));
      }
    }
  }
  return pcrs;
}

template <typename Buffer>
base::Bytes bytes_of(const Buffer& buffer, std::size_t size) {
  return base::copy_of(std::as_bytes(std::span(buffer, size)));
}

template <typename T, typename Marshal>
base::Result<base::Bytes> marshalled(const T& structure, Marshal marshal) {
  base::Bytes bytes(sizeof(T));
  std::size_t size = 0;
  if (marshal(&structure, reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size(), &size) !=
      TSS2_RC_SUCCESS) {
    return base::fail(base::ErrorCode::kIo, "the TPM answered something that cannot be written");
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

base::Result<GuestTpm> GuestTpm::open(const std::string& tcti) {
  GuestTpm tpm;
  auto code = Tss2_TctiLdr_Initialize(tcti.empty() ? nullptr : tcti.c_str(), &tpm.tcti_);
  if (code == TSS2_RC_SUCCESS) {
    code = Esys_Initialize(&tpm.esys_, tpm.tcti_, nullptr);
  }
  if (code != TSS2_RC_SUCCESS) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "no TPM answers" + (tcti.empty() ? std::string() : " at '" + tcti + "'") +
                          "; name one with --tcti, such as device:/dev/tpmrm0");
  }
  return tpm;
}

GuestTpm::GuestTpm(GuestTpm&& other) noexcept
    : tcti_(std::exchange(other.tcti_, nullptr)), esys_(std::exchange(other.esys_, nullptr)) {}

GuestTpm::~GuestTpm() {
  Esys_Finalize(&esys_);
  Tss2_TctiLdr_Finalize(&tcti_);
}

base::Result<void> GuestTpm::use_owner_auth(base::ByteView password) {
  TPM2B_AUTH auth{};
  if (password.size() > sizeof(auth.buffer)) {
    return base::fail(base::ErrorCode::kInvalidArgument, "a TPM's password has 64 bytes at most");
  }
  auth.size = static_cast<UINT16>(password.size());
  std::memcpy(auth.buffer, password.data(), password.size());
  const auto code = Esys_TR_SetAuth(esys_, ESYS_TR_RH_OWNER, &auth);
  explicit_bzero(&auth, sizeof(auth));
  return code == TSS2_RC_SUCCESS ? base::Result<void>{} : refused(code, "cannot set the password");
}

base::Result<std::uint32_t> GuestTpm::find(std::uint32_t handle) {
  ESYS_TR object = ESYS_TR_NONE;
  const auto code =
      Esys_TR_FromTPMPublic(esys_, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object);
  if (code != TSS2_RC_SUCCESS) {
    return refused(code, "cannot find 0x" + hex(handle));
  }
  return object;
}

base::Result<std::size_t> GuestTpm::largest_transfer() {
  TPMI_YES_NO more = TPM2_NO;
  TPMS_CAPABILITY_DATA* answer = nullptr;
  const auto code =
      Esys_GetCapability(esys_, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
                         TPM2_PT_NV_BUFFER_MAX, 1, &more, &answer);
  if (code != TSS2_RC_SUCCESS) {
    return refused(code, "cannot ask for the size of transfers");
  }
  const Given<TPMS_CAPABILITY_DATA> given(answer);
  const auto& properties = given->data.tpmProperties;
  // 1024 bytes is what guests of Azure's vTPM read, and the least that any such TPM takes.
  constexpr std::size_t kUsual = 1024;
  return properties.count == 1 && properties.tpmProperty[0].property == TPM2_PT_NV_BUFFER_MAX
             ? std::min<std::size_t>(properties.tpmProperty[0].value, kUsual)
             : kUsual;
}

// A vTPM limits how often it asks its hardware for a report, and says TPM_RC_RETRY until it may.
base::Result<base::Bytes> GuestTpm::read_index(std::uint32_t index) {
  constexpr std::chrono::seconds kPatience{10};
  constexpr std::chrono::milliseconds kPause{250};
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    auto content = read_index_once(index);
    if (content || content.error().code != base::ErrorCode::kUnavailable ||
        std::chrono::steady_clock::now() >= deadline) {
      return content;
    }
    std::this_thread::sleep_for(kPause);
  }
}

base::Result<base::Bytes> GuestTpm::read_index_once(std::uint32_t index) {
  TRY_ASSIGN(object, find(index));
  TPM2B_NV_PUBLIC* area = nullptr;
  auto code =
      Esys_NV_ReadPublic(esys_, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &area, nullptr);
  if (code != TSS2_RC_SUCCESS) {
    return refused(code, "cannot read what an NV index is");
  }
  const Given<TPM2B_NV_PUBLIC> given_area(area);
  TRY_ASSIGN(step, largest_transfer());
  const std::size_t size = given_area->nvPublic.dataSize;
  base::Bytes content;
  while (content.size() < size) {
    TPM2B_MAX_NV_BUFFER* piece = nullptr;
    const auto wanted = static_cast<UINT16>(std::min(step, size - content.size()));
    code = Esys_NV_Read(esys_, ESYS_TR_RH_OWNER, object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                        ESYS_TR_NONE, wanted, static_cast<UINT16>(content.size()), &piece);
    if (code != TSS2_RC_SUCCESS) {
      return refused(code, "cannot read an NV index");
    }
    const Given<TPM2B_MAX_NV_BUFFER> given(piece);
    if (given->size == 0) {
      return base::fail(base::ErrorCode::kIo, "the TPM gives less of an NV index than it has");
    }
    const auto bytes = bytes_of(given->buffer, given->size);
    content.insert(content.end(), bytes.begin(), bytes.end());
  }
  return content;
}

base::Result<void> GuestTpm::write_user_data(base::ByteView data) {
  TPM2B_MAX_NV_BUFFER buffer{};
  if (data.empty() || data.size() > sizeof(buffer.buffer)) {
    return base::fail(base::ErrorCode::kInvalidArgument, "user data have 1 to 64 bytes");
  }
  const auto found = find(kUserDataIndex);
  ESYS_TR object = found ? *found : ESYS_TR_NONE;
  if (found) {
    TPM2B_NV_PUBLIC* area = nullptr;
    const auto code =
        Esys_NV_ReadPublic(esys_, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &area, nullptr);
    if (code != TSS2_RC_SUCCESS) {
      return refused(code, "cannot read what the user data index is");
    }
    const Given<TPM2B_NV_PUBLIC> given(area);
    if (given->nvPublic.dataSize != data.size()) {
      const auto undefined = Esys_NV_UndefineSpace(esys_, ESYS_TR_RH_OWNER, object,
                                                   ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
      if (undefined != TSS2_RC_SUCCESS) {
        return refused(undefined, "cannot undefine the user data index");
      }
      object = ESYS_TR_NONE;
    }
  } else if (found.error().code != base::ErrorCode::kNotFound) {
    return base::fail(found.error());
  }
  if (object == ESYS_TR_NONE) {
    const TPM2B_AUTH none{};
    TPM2B_NV_PUBLIC area{};
    area.nvPublic.nvIndex = kUserDataIndex;
    area.nvPublic.nameAlg = TPM2_ALG_SHA256;
    area.nvPublic.attributes = TPMA_NV_OWNERWRITE | TPMA_NV_OWNERREAD;
    area.nvPublic.dataSize = static_cast<UINT16>(data.size());
    const auto code = Esys_NV_DefineSpace(esys_, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                          ESYS_TR_NONE, &none, &area, &object);
    if (code != TSS2_RC_SUCCESS) {
      return refused(code, "cannot define the user data index");
    }
  }
  buffer.size = static_cast<UINT16>(data.size());
  std::memcpy(buffer.buffer, data.data(), data.size());
  const auto code = Esys_NV_Write(esys_, ESYS_TR_RH_OWNER, object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                  ESYS_TR_NONE, &buffer, 0);
  return code == TSS2_RC_SUCCESS ? base::Result<void>{}
                                 : refused(code, "cannot write the user data");
}

base::Result<base::Bytes> GuestTpm::public_area(std::uint32_t handle) {
  TRY_ASSIGN(object, find(handle));
  TPM2B_PUBLIC* area = nullptr;
  const auto code = Esys_ReadPublic(esys_, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &area,
                                    nullptr, nullptr);
  if (code != TSS2_RC_SUCCESS) {
    return refused(code, "cannot read a key's public area");
  }
  const Given<TPM2B_PUBLIC> given(area);
  return marshalled(given->publicArea, Tss2_MU_TPMT_PUBLIC_Marshal);
}

base::Result<PcrValues> GuestTpm::read_pcrs(keybroker::crypto::Hash bank,
                                            const std::set<std::uint8_t>& pcrs) {
  PcrValues values;
  auto left = pcrs;
  while (!left.empty()) {
    const auto wanted = selection_of(bank, left);
    TPML_PCR_SELECTION* read = nullptr;
    TPML_DIGEST* digests = nullptr;
    const auto code = Esys_PCR_Read(esys_, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &wanted,
                                    nullptr, &read, &digests);
    if (code != TSS2_RC_SUCCESS) {
      return refused(code, "cannot read PCRs");
    }
    const Given<TPML_PCR_SELECTION> given_read(read);
    const Given<TPML_DIGEST> given_digests(digests);
    std::uint32_t place = 0;
    for (const auto pcr : pcrs_of(*given_read)) {
      if (place < given_digests->count) {
        const auto& digest = given_digests->digests[place++];
        values[pcr] = bytes_of(digest.buffer, digest.size);
        left.erase(pcr);
      }
    }
    if (place == 0) {
      return base::fail(base::ErrorCode::kNotFound,
                        "the TPM has no bank " + keybroker::evidence::bank_name(bank));
    }
  }
  return values;
}

base::Result<QuoteEvidence> GuestTpm::quote(std::uint32_t handle, base::ByteView nonce,
                                            keybroker::crypto::Hash bank,
                                            const std::set<std::uint8_t>& pcrs) {
  TRY_ASSIGN(object, find(handle));
  TPM2B_DATA qualifying{};
  if (nonce.empty() || nonce.size() > sizeof(qualifying.buffer)) {
    return base::fail(base::ErrorCode::kInvalidArgument, "a nonce has 1 to 64 bytes");
  }
  qualifying.size = static_cast<UINT16>(nonce.size());
  std::memcpy(qualifying.buffer, nonce.data(), nonce.size());
  const TPMT_SIG_SCHEME of_the_key{TPM2_ALG_NULL, {}};
  const auto selection = selection_of(bank, pcrs);
  // A PCR may be extended between the quote and its reading; then both are asked for again.
  constexpr int kMostTries = 5;
  for (int i = 0; i < kMostTries; ++i) {
    TPM2B_ATTEST* attest = nullptr;
    TPMT_SIGNATURE* signature = nullptr;
    const auto code = Esys_Quote(esys_, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                 &qualifying, &of_the_key, &selection, &attest, &signature);
    if (code != TSS2_RC_SUCCESS) {
      return refused(code, "the AK gives no quote");
    }
    const Given<TPM2B_ATTEST> given_attest(attest);
    const Given<TPMT_SIGNATURE> given_signature(signature);
    QuoteEvidence quote;
    quote.attest = bytes_of(given_attest->attestationData, given_attest->size);
    TRY_ASSIGN(signature_bytes, marshalled(*given_signature, Tss2_MU_TPMT_SIGNATURE_Marshal));
    TRY_ASSIGN(values, read_pcrs(bank, pcrs));
    quote.signature = std::move(signature_bytes);
    quote.pcrs = std::move(values);
    const auto hash = keybroker::evidence::hash_of_tpm(given_signature->signature.any.hashAlg);
    const auto read = keybroker::evidence::read_tpm_quote(quote.attest);
    if (hash && read.quote &&
        keybroker::evidence::pcr_digest(quote.pcrs, *hash) == read.quote->pcr_digest) {
      return quote;
    }
  }
  return base::fail(base::ErrorCode::kUnavailable, "the PCRs change faster than they are quoted");
}

}  // namespace tools::attest
