// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/nv_indices.h"

#include <string.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "vtpm/provision/esys.h"

namespace vtpm::provision {

namespace {

constexpr std::array kOurs = {kReportIndex, kExtendedClaimsIndex, kAkCertificateIndex,
                              kAkChainIndex};

// What one NV_Read or NV_Write carries in libtpms (TPM_PT_NV_BUFFER_MAX).
constexpr std::size_t kPieceBytes = 1024;

struct Freed {
  void operator()(void* memory) const { Esys_Free(memory); }
};

std::string index_name(TPM2_HANDLE index) {
  std::array<char, 20> text{};
  std::snprintf(text.data(), text.size(), "NV index 0x%08x", static_cast<unsigned>(index));
  return text.data();
}

TPM2B_AUTH auth_of(const IndexPassword& password) {
  TPM2B_AUTH auth{};
  const auto bytes = password.bytes.expose();
  auth.size = static_cast<UINT16>(bytes.size());
  std::ranges::copy(bytes, std::as_writable_bytes(std::span(auth.buffer)).begin());
  return auth;
}

// An index that is there, as tpm2-tss refers to it, with the password to use on it.
class OpenIndex {
 public:
  static base::Result<OpenIndex> find(ESYS_CONTEXT* esys, TPM2_HANDLE index) {
    OpenIndex open(esys, ESYS_TR_NONE, index);
    TRY(checked(
        Esys_TR_FromTPMPublic(esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &open.object_),
        index_name(index)));
    return open;
  }

  // Takes what tpm2-tss calls an index.
  OpenIndex(ESYS_CONTEXT* esys, ESYS_TR object, TPM2_HANDLE number)
      : esys_(esys), object_(object), number_(number) {}

  OpenIndex(OpenIndex&& other) noexcept
      : esys_(other.esys_),
        object_(std::exchange(other.object_, ESYS_TR_NONE)),
        number_(other.number_) {}

  OpenIndex& operator=(OpenIndex&&) = delete;

  ~OpenIndex() { close(); }

  [[nodiscard]] ESYS_TR object() const { return object_; }

  [[nodiscard]] std::string name() const { return index_name(number_); }

  void close() {
    if (object_ != ESYS_TR_NONE) {
      Esys_TR_Close(esys_, &object_);
      object_ = ESYS_TR_NONE;
    }
  }

  // authorize() gives what its next uses are authorized with.
  base::Result<void> authorize(const IndexPassword& password) {
    auto auth = auth_of(password);
    auto done = checked(Esys_TR_SetAuth(esys_, object_, &auth), "setting a password");
    explicit_bzero(&auth, sizeof auth);
    return done;
  }

  // gone() says that tpm2-tss has forgotten it with the index itself.
  void gone() { object_ = ESYS_TR_NONE; }

 private:
  ESYS_CONTEXT* esys_;
  ESYS_TR object_;
  TPM2_HANDLE number_;
};

// `authority` is the owner, or the index itself.
base::Result<base::Bytes> read_all(ESYS_CONTEXT* esys, const OpenIndex& open, ESYS_TR authority) {
  TPM2B_NV_PUBLIC* space = nullptr;
  TRY(checked(Esys_NV_ReadPublic(esys, open.object(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                 &space, nullptr),
              "looking at an NV index"));
  const std::unique_ptr<TPM2B_NV_PUBLIC, Freed> space_owner(space);
  const auto name = index_name(space->nvPublic.nvIndex);
  if ((space->nvPublic.attributes & TPMA_NV_WRITTEN) == 0) {
    return base::fail(base::ErrorCode::kNotFound, name + " was never written");
  }
  base::Bytes content;
  while (content.size() < space->nvPublic.dataSize) {
    const auto piece = std::min(kPieceBytes, space->nvPublic.dataSize - content.size());
    TPM2B_MAX_NV_BUFFER* data = nullptr;
    TRY(checked(
        Esys_NV_Read(esys, authority, open.object(), ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                     static_cast<UINT16>(piece), static_cast<UINT16>(content.size()), &data),
        "reading " + name));
    const std::unique_ptr<TPM2B_MAX_NV_BUFFER, Freed> data_owner(data);
    const auto bytes = std::as_bytes(std::span(data->buffer, data->size));
    if (bytes.size() != piece) {
      return base::fail(base::ErrorCode::kUnavailable, name + " gave too little");
    }
    content.insert(content.end(), bytes.begin(), bytes.end());
  }
  return content;
}

// `authority` is the platform, or the index itself.
base::Result<void> write_pieces(ESYS_CONTEXT* esys, const OpenIndex& open, ESYS_TR authority,
                                base::ByteView content) {
  for (std::size_t offset = 0; offset < content.size(); offset += kPieceBytes) {
    TPM2B_MAX_NV_BUFFER piece{};
    piece.size = static_cast<UINT16>(std::min(kPieceBytes, content.size() - offset));
    std::ranges::copy(content.subspan(offset, piece.size),
                      std::as_writable_bytes(std::span(piece.buffer)).begin());
    TRY(checked(Esys_NV_Write(esys, authority, open.object(), ESYS_TR_PASSWORD, ESYS_TR_NONE,
                              ESYS_TR_NONE, &piece, static_cast<UINT16>(offset)),
                "writing " + open.name()));
  }
  return {};
}

// Defines an index in the stead of whatever has its number.
base::Result<OpenIndex> define(ESYS_CONTEXT* esys, TPM2_HANDLE index, TPMA_NV attributes,
                               std::size_t size, const TPM2B_AUTH& auth) {
  TRY(drop_index(esys, index));
  TPM2B_NV_PUBLIC space{};
  space.nvPublic.nvIndex = index;
  space.nvPublic.nameAlg = TPM2_ALG_SHA256;
  space.nvPublic.attributes = attributes;
  space.nvPublic.dataSize = static_cast<UINT16>(size);
  ESYS_TR defined = ESYS_TR_NONE;
  TRY(checked(Esys_NV_DefineSpace(esys, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                  ESYS_TR_NONE, &auth, &space, &defined),
              "defining " + index_name(index)));
  return OpenIndex(esys, defined, index);
}

}  // namespace

std::span<const TPM2_HANDLE> our_indices() { return kOurs; }

base::Result<void> drop_index(ESYS_CONTEXT* esys, TPM2_HANDLE index) {
  auto there = OpenIndex::find(esys, index);
  if (!there) {
    return there.error().code == base::ErrorCode::kNotFound
               ? base::Result<void>()
               : base::Result<void>(base::fail(std::move(there).error()));
  }
  TRY(checked(Esys_NV_UndefineSpace(esys, ESYS_TR_RH_PLATFORM, there->object(), ESYS_TR_PASSWORD,
                                    ESYS_TR_NONE, ESYS_TR_NONE),
              "undefining " + index_name(index)));
  there->gone();
  return {};
}

base::Result<void> define_index(ESYS_CONTEXT* esys, TPM2_HANDLE index,
                                const IndexPassword& password) {
  auto auth = auth_of(password);
  const auto defined = define(esys, index, kIndexAttributes, kIndexBytes, auth);
  explicit_bzero(&auth, sizeof auth);
  if (!defined) {
    return base::fail(defined.error());
  }
  return {};
}

base::Result<void> put_ek_certificate(ESYS_CONTEXT* esys, TPM2_HANDLE index, base::ByteView der) {
  TRY_ASSIGN(open, define(esys, index, kEkCertificateAttributes, der.size(), TPM2B_AUTH{}));
  TRY(write_pieces(esys, open, ESYS_TR_RH_PLATFORM, der));
  return checked(Esys_NV_WriteLock(esys, ESYS_TR_RH_PLATFORM, open.object(), ESYS_TR_PASSWORD,
                                   ESYS_TR_NONE, ESYS_TR_NONE),
                 "locking " + index_name(index));
}

base::Result<base::Bytes> read_index(ESYS_CONTEXT* esys, TPM2_HANDLE index) {
  TRY_ASSIGN(open, OpenIndex::find(esys, index));
  return read_all(esys, open, ESYS_TR_RH_OWNER);
}

base::Result<base::Bytes> read_index(ESYS_CONTEXT* esys, TPM2_HANDLE index,
                                     const IndexPassword& password) {
  TRY_ASSIGN(open, OpenIndex::find(esys, index));
  TRY(open.authorize(password));
  return read_all(esys, open, open.object());
}

base::Result<void> write_index(ESYS_CONTEXT* esys, TPM2_HANDLE index, const IndexPassword& password,
                               base::ByteView content) {
  if (content.size() > kIndexBytes) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      std::to_string(content.size()) + " bytes do not fit into " +
                          index_name(index) + " of " + std::to_string(kIndexBytes));
  }
  base::Bytes padded = base::copy_of(content);
  padded.resize(kIndexBytes);
  TRY_ASSIGN(open, OpenIndex::find(esys, index));
  TRY(open.authorize(password));
  return write_pieces(esys, open, open.object(), padded);
}

}  // namespace vtpm::provision
