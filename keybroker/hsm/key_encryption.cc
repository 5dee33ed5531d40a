// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/key_encryption.h"

#include <algorithm>

namespace keybroker::hsm {
namespace {

constexpr std::size_t kMostLabelCharacters = 64;

}  // namespace

std::string_view name(KekState state) {
  switch (state) {
    case KekState::kReady:
      return "ready";
    case KekState::kTokenAbsent:
      return "token-absent";
    case KekState::kTokenLoginFailed:
      return "token-login-failed";
    case KekState::kKeyAbsent:
      return "key-absent";
    case KekState::kBusy:
      return "busy";
  }
  return "unknown";
}

base::Result<void> check_label(std::string_view label) {
  const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
  if (label.empty() || label.size() > kMostLabelCharacters ||
      !std::all_of(label.begin(), label.end(), printable)) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the label of a key-encryption key has 1 to 64 printable ASCII characters");
  }
  return {};
}

}  // namespace keybroker::hsm
