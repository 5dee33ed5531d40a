// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/control_answer.h"

#include <algorithm>
#include <utility>

#include "vmgs/base/cursor.h"

namespace transport::tpm_socket {

namespace {

base::Writer begin(ControlResult result) {
  base::Writer out;
  out.u32_be(static_cast<std::uint32_t>(result));
  return out;
}

// Flags of a blob, and of GET_CONFIG.
constexpr std::uint32_t kStateEncrypted = 2;
constexpr std::uint32_t kFileKeyInUse = 1;
constexpr std::uint32_t kMigrationKeyInUse = 2;

base::Bytes state_blob_header(ControlResult result, std::uint32_t flags, std::size_t bytes) {
  auto out = begin(result);
  out.u32_be(flags);
  out.u32_be(static_cast<std::uint32_t>(bytes));
  out.u32_be(static_cast<std::uint32_t>(bytes));
  return std::move(out).take();
}

}  // namespace

ControlResult result_of(const base::Error& error) {
  switch (error.code) {
    case base::ErrorCode::kInvalidArgument:
      return ControlResult::kBadParameter;
    case base::ErrorCode::kNotFound:
      return ControlResult::kRetry;
    case base::ErrorCode::kDenied:
      return ControlResult::kBadOrdinal;
    case base::ErrorCode::kAuthentication:
      return ControlResult::kDecryptError;
    case base::ErrorCode::kIo:
      return ControlResult::kIoError;
    case base::ErrorCode::kCorrupt:
    case base::ErrorCode::kUnavailable:
      break;
  }
  return ControlResult::kFail;
}

base::Bytes plain_answer(ControlResult result) {
  auto out = begin(result);
  return std::move(out).take();
}

base::Bytes capability_answer(std::uint32_t bits) {
  auto out = begin(ControlResult::kSuccess);
  out.u32_be(bits);
  return std::move(out).take();
}

base::Bytes established_answer(const base::Result<bool>& bit) {
  auto out = begin(bit ? ControlResult::kSuccess : result_of(bit.error()));
  out.u8(bit.value_or(false) ? 1 : 0);
  out.bytes(base::Bytes(3));
  return std::move(out).take();
}

base::Bytes config_answer(const KeysInUse& keys) {
  auto out = begin(ControlResult::kSuccess);
  out.u32_be((keys.file ? kFileKeyInUse : 0) | (keys.migration ? kMigrationKeyInUse : 0));
  return std::move(out).take();
}

base::Bytes buffer_size_answer(const BufferSizes& sizes) {
  auto out = begin(ControlResult::kSuccess);
  out.u32_be(sizes.in_use);
  out.u32_be(sizes.min);
  out.u32_be(sizes.max);
  return std::move(out).take();
}

base::Bytes info_answer(std::string_view text, std::uint32_t offset) {
  if (offset >= text.size()) {
    return plain_answer(ControlResult::kBadParameter);
  }
  base::Bytes terminated = base::copy_of(base::bytes_of(text));
  terminated.push_back(std::byte{0});
  const std::size_t length = std::min<std::size_t>(terminated.size() - offset, kMaxInfoPieceBytes);

  auto out = begin(ControlResult::kSuccess);
  out.u32_be(static_cast<std::uint32_t>(terminated.size()));
  out.u32_be(static_cast<std::uint32_t>(length));
  out.bytes(base::ByteView(terminated).subspan(offset, length));
  return std::move(out).take();
}

base::SecretBytes state_blob_answer(const OutgoingStateBlob& blob, std::uint32_t offset) {
  const auto bytes = blob.bytes.expose();
  const auto rest = bytes.subspan(std::min<std::size_t>(offset, bytes.size()));
  const auto header = state_blob_header(ControlResult::kSuccess,
                                        blob.under_file_key ? kStateEncrypted : 0, rest.size());
  base::SecretBytes answer(header.size() + rest.size());
  const auto out = std::copy(header.begin(), header.end(), answer.fill().begin());
  std::copy(rest.begin(), rest.end(), out);
  return answer;
}

base::Bytes no_state_blob_answer(ControlResult result) { return state_blob_header(result, 0, 0); }

}  // namespace transport::tpm_socket
