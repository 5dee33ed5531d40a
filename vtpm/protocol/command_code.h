// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace vtpm::protocol {

// CommandCode is TPM_CC (TPM 2.0 Part 2, 6.5.2). Any value may arrive from a guest; the ones that
// we send or watch for have names.
enum class CommandCode : std::uint32_t {
  kEvictControl = 0x120,
  kChangeEps = 0x124,
  kClear = 0x126,
  kHierarchyChangeAuth = 0x129,
  kCreatePrimary = 0x131,
  kStartup = 0x144,
  kShutdown = 0x145,
  kStirRandom = 0x146,
  kNvRead = 0x14E,
  kFlushContext = 0x165,
  kGetCapability = 0x17A,
  kHash = 0x17D,
  kNvCertify = 0x184,
};

// Tag is TPM_ST of a command or response (TPM 2.0 Part 2, 6.9): whether an authorization area
// follows the header.
enum class Tag : std::uint16_t {
  kNoSessions = 0x8001,
  kSessions = 0x8002,
};

// StartupType is TPM_SU (TPM 2.0 Part 2, 6.10), the argument of Startup and Shutdown.
enum class StartupType : std::uint16_t {
  kClear = 0x0000,
  kState = 0x0001,
};

// Handles that we name ourselves (TPM 2.0 Part 2, 7.4).
enum class Handle : std::uint32_t {
  kNullHierarchy = 0x40000007,
  kPasswordSession = 0x40000009,
};

}  // namespace vtpm::protocol
