// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vmgs/base/result.h"

namespace vmgs::format {

// FileId is the number of a file in a store, 0..63. 0 and 63 are the two tables; the others hold
// content. 48..51 are ours, chosen high, away from ids that others may assign.
enum class FileId : std::uint8_t {
  kFileTable = 0,
  kBiosNvram = 1,
  kTpmPpi = 2,
  kTpmNvram = 3,
  kRtcSkew = 4,
  kAttest = 5,
  kKeyProtector = 6,
  kVmUniqueId = 7,
  kGuestFirmware = 8,
  kCustomUefi = 9,
  kGuestWatchdog = 10,
  kHwKeyProtector = 11,
  kGuestSecretKey = 13,
  kHibernationToken = 14,
  kPlatformSeed = 15,
  kProvenanceDoc = 16,
  kTpmNvramBackup = 17,
  kProvisioningMarker = 18,
  kSealedKeys = 48,
  kRecord = 49,
  kTpmVolatile = 50,
  kUefiFlash = 51,
  kExtendedFileTable = 63,
};

inline constexpr std::size_t kFileIds = 64;

constexpr std::size_t index(FileId id) { return static_cast<std::size_t>(id); }

// is_content() is true of the ids that a caller may write: all but the two tables.
constexpr bool is_content(FileId id) {
  return id != FileId::kFileTable && id != FileId::kExtendedFileTable && index(id) < kFileIds;
}

// holds_protector() is true of the plaintext files that carry a wrapped root key (6, 11, 48).
// They are left out of the state digest: a change of key is no change of state.
constexpr bool holds_protector(FileId id) {
  return id == FileId::kKeyProtector || id == FileId::kHwKeyProtector || id == FileId::kSealedKeys;
}

// is_plaintext_by_role() is true of the files that a reader needs before it has a key, or that
// others expect in plaintext. All other files are encrypted where the store is.
bool is_plaintext_by_role(FileId id);

// name() is the upper-case name of the format's documents, empty for an unassigned id.
std::string_view name(FileId id);

// describe() is "TPM_NVRAM (3)", or "file 45" for an unassigned id.
std::string describe(FileId id);

// parse_file_id() reads a decimal number below 64 or a name in either case. kInvalidArgument
// otherwise.
base::Result<FileId> parse_file_id(std::string_view text);

}  // namespace vmgs::format
