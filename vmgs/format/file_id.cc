// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/file_id.h"

#include <boost/algorithm/string/predicate.hpp>
#include <charconv>

#include "vmgs/format/ownership.h"

namespace vmgs::format {

bool is_plaintext_by_role(FileId id) {
  switch (id) {
    case FileId::kRtcSkew:
    case FileId::kKeyProtector:
    case FileId::kVmUniqueId:
    case FileId::kGuestFirmware:
    case FileId::kCustomUefi:
    case FileId::kGuestWatchdog:
    case FileId::kHwKeyProtector:
    case FileId::kHibernationToken:
    case FileId::kProvenanceDoc:
    case FileId::kProvisioningMarker:
    case FileId::kSealedKeys:
      return true;
    default:
      return false;
  }
}

std::string_view name(FileId id) {
  if (id == kOwnershipFile) {
    return "OWNERSHIP";
  }
  switch (id) {
    case FileId::kFileTable:
      return "FILE_TABLE";
    case FileId::kBiosNvram:
      return "BIOS_NVRAM";
    case FileId::kTpmPpi:
      return "TPM_PPI";
    case FileId::kTpmNvram:
      return "TPM_NVRAM";
    case FileId::kRtcSkew:
      return "RTC_SKEW";
    case FileId::kAttest:
      return "ATTEST";
    case FileId::kKeyProtector:
      return "KEY_PROTECTOR";
    case FileId::kVmUniqueId:
      return "VM_UNIQUE_ID";
    case FileId::kGuestFirmware:
      return "GUEST_FIRMWARE";
    case FileId::kCustomUefi:
      return "CUSTOM_UEFI";
    case FileId::kGuestWatchdog:
      return "GUEST_WATCHDOG";
    case FileId::kHwKeyProtector:
      return "HW_KEY_PROTECTOR";
    case FileId::kGuestSecretKey:
      return "GUEST_SECRET_KEY";
    case FileId::kHibernationToken:
      return "HIBERNATION_TOKEN";
    case FileId::kPlatformSeed:
      return "PLATFORM_SEED";
    case FileId::kProvenanceDoc:
      return "PROVENANCE_DOC";
    case FileId::kTpmNvramBackup:
      return "TPM_NVRAM_BACKUP";
    case FileId::kProvisioningMarker:
      return "PROVISIONING_MARKER";
    case FileId::kSealedKeys:
      return "SEALED_KEYS";
    case FileId::kRecord:
      return "RECORD";
    case FileId::kTpmVolatile:
      return "TPM_VOLATILE";
    case FileId::kUefiFlash:
      return "UEFI_FLASH";
    case FileId::kExtendedFileTable:
      return "EXTENDED_FILE_TABLE";
  }
  return {};
}

std::string describe(FileId id) {
  const auto number = std::to_string(index(id));
  const auto known = name(id);
  return known.empty() ? "file " + number : std::string(known) + " (" + number + ")";
}

base::Result<FileId> parse_file_id(std::string_view text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size() && number < kFileIds) {
    return static_cast<FileId>(number);
  }
  for (std::size_t i = 0; i < kFileIds; ++i) {
    const auto id = static_cast<FileId>(i);
    if (!name(id).empty() && boost::algorithm::iequals(name(id), text)) {
      return id;
    }
  }
  return base::fail(base::ErrorCode::kInvalidArgument,
                    "'" + std::string(text) +
                        "' is no file id: give a number from 0 to 63 or a name such as TPM_NVRAM");
}

}  // namespace vmgs::format
