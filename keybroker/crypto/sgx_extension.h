// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::crypto {

inline constexpr std::string_view kSgxExtensionOid = "1.2.840.113741.1.13.1";

// The security versions that Intel certified a platform for.
struct SgxTcb {
  std::array<std::uint8_t, 16> components{};
  std::uint16_t pce_svn = 0;
  std::array<std::byte, 16> cpu_svn{};

  friend bool operator==(const SgxTcb&, const SgxTcb&) = default;
};

enum class SgxType : std::uint8_t { kStandard = 0, kScalable = 1, kScalableWithIntegrity = 2 };

// Present in certificates of the Platform CA only.
struct SgxConfiguration {
  std::optional<bool> dynamic_platform;
  std::optional<bool> cached_keys;
  std::optional<bool> smt_enabled;

  friend bool operator==(const SgxConfiguration&, const SgxConfiguration&) = default;
};

// SgxExtension is what a PCK certificate says about its platform (Intel SGX PCK Certificate and CRL
// Profile, 1.3.5). The PPID identifies a machine: do not log it.
struct SgxExtension {
  std::array<std::byte, 16> ppid{};
  SgxTcb tcb;
  std::array<std::byte, 2> pce_id{};
  std::array<std::byte, 6> fmspc{};
  SgxType type = SgxType::kStandard;
  std::optional<std::array<std::byte, 16>> platform_instance_id;
  std::optional<SgxConfiguration> configuration;

  friend bool operator==(const SgxExtension&, const SgxExtension&) = default;
};

// decode_sgx_extension() reads the content of the extension. kCorrupt for a missing, repeated,
// unknown or misshaped member, and for anything behind it.
base::Result<SgxExtension> decode_sgx_extension(base::ByteView der);

// encode() is its inverse.
base::Bytes encode(const SgxExtension& extension);

}  // namespace keybroker::crypto
