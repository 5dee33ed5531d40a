// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/tpm_permanent.h"

#include <algorithm>
#include <utility>

#include "vmgs/base/cursor.h"
#include "vmgs/format/libtpms_data.h"
#include "vmgs/format/libtpms_part.h"

namespace vmgs::format {

namespace {

using libtpms::Part;

// Versions of the whole state: with state for a resume only where it is needed, and with a profile.
constexpr std::uint16_t kWithoutIdleState = 3;
constexpr std::uint16_t kWithProfile = 4;

// TPMS_PCR_SELECTION has one byte for each eight PCRs; a platform has 24.
constexpr std::size_t kMostPcrBytes = 4;
constexpr std::uint32_t kMostBanks = 16;

// Of libtpms' `orderlyState`: what TPM2_Shutdown left, and flags of the start in its highest bits.
constexpr std::uint16_t kSuNone = 0xFFFF;
constexpr std::uint16_t kSuDaUsed = 0xFFFE;
constexpr std::uint16_t kSuClear = 0x0000;
constexpr std::uint16_t kSuState = 0x0001;
constexpr std::uint16_t kPreStartupFlag = 0x8000;
constexpr std::uint16_t kStartupLocality3Flag = 0x4000;

// sizeof(NV_RAM_HEADER) of libtpms: what an entry of the RAM takes besides its content.
constexpr std::uint64_t kRamEntryBytes = 12;

TpmShutdown shutdown_of(std::uint16_t orderly_state) {
  if (orderly_state == kSuNone) {
    return TpmShutdown::kNone;
  }
  if (orderly_state == kSuDaUsed) {
    return TpmShutdown::kDaUsed;
  }
  switch (orderly_state & ~(kPreStartupFlag | kStartupLocality3Flag)) {
    case kSuClear:
      return TpmShutdown::kClear;
    case kSuState:
      return TpmShutdown::kState;
    default:
      return TpmShutdown::kUnknown;
  }
}

// TPML_PCR_SELECTION (TPM 2.0 Part 2, 10.9.7)
base::Result<std::vector<TpmPcrBank>> read_banks(base::Reader& in) {
  TRY_ASSIGN(count, in.u32_be());
  if (count > kMostBanks) {
    return libtpms::corrupt("PCR banks", std::to_string(count) + " of them");
  }
  std::vector<TpmPcrBank> banks;
  for (std::uint32_t i = 0; i < count; ++i) {
    TpmPcrBank bank;
    TRY_ASSIGN(algorithm, in.u16_be());
    TRY_ASSIGN(size, in.u8());
    TRY_ASSIGN(bits, in.bytes(size));
    bank.algorithm = algorithm;
    for (std::size_t each = 0; each < std::min(bits.size(), kMostPcrBytes); ++each) {
      bank.pcrs |= std::to_integer<std::uint32_t>(bits[each]) << (8 * each);
    }
    banks.push_back(bank);
  }
  return banks;
}

base::Result<void> pass_compile_constants(base::Reader& in) {
  TRY(libtpms::begin(in, Part::kCompileConstants));
  TRY_ASSIGN(count, in.u32_be());
  if (count > in.remaining() / sizeof(std::uint32_t)) {
    return libtpms::corrupt("compile-time constants", "more than there is room for");
  }
  TRY(in.bytes(std::size_t{count} * sizeof(std::uint32_t)));
  TRY(libtpms::block(in));
  return {};
}

base::Result<void> read_authorities(base::Reader& in, TpmPermanent& into) {
  TRY(in.u16_be());  // hashes of the policies of owner, endorsement and lockout
  TRY(in.u16_be());
  TRY(in.u16_be());
  TRY_ASSIGN(owner_policy, libtpms::sized(in));
  TRY_ASSIGN(endorsement_policy, libtpms::sized(in));
  TRY_ASSIGN(lockout_policy, libtpms::sized(in));
  TRY_ASSIGN(owner, libtpms::sized(in));
  TRY_ASSIGN(endorsement, libtpms::sized(in));
  TRY_ASSIGN(lockout, libtpms::sized(in));
  into.owner = libtpms::authority_of(owner, owner_policy);
  into.endorsement = libtpms::authority_of(endorsement, endorsement_policy);
  into.lockout_authority = libtpms::authority_of(lockout, lockout_policy);
  return {};
}

base::Result<void> read_lockout(base::Reader& in, TpmLockout& into) {
  TRY_ASSIGN(failed_tries, in.u32_be());
  TRY_ASSIGN(max_tries, in.u32_be());
  TRY_ASSIGN(recovery, in.u32_be());
  TRY_ASSIGN(lockout_recovery, in.u32_be());
  TRY_ASSIGN(enabled, in.u8());
  into = {failed_tries, max_tries, recovery, lockout_recovery, enabled != 0};
  return {};
}

base::Result<void> read_audit_and_firmware(base::Reader& in, TpmPermanent& into) {
  TRY(libtpms::sized(in));  // which commands are audited
  TRY_ASSIGN(algorithm, in.u16_be());
  TRY_ASSIGN(counter, in.u64_be());
  TRY(in.u32_be());  // algorithm set
  TRY_ASSIGN(version_1, in.u32_be());
  TRY_ASSIGN(version_2, in.u32_be());
  into.audit_algorithm = algorithm;
  into.audit_counter = counter;
  into.firmware_version = {version_1, version_2};
  return {};
}

// PERSISTENT_DATA, the seeds of which are passed over and not looked at.
base::Result<void> read_data(base::Reader& in, TpmPermanent& into) {
  constexpr int kSeedsAndProofs = 6;
  TRY_ASSIGN(version, libtpms::begin(in, Part::kPersistentData));
  TRY_ASSIGN(clear_disabled, in.u8());
  TRY(read_authorities(in, into));
  for (int i = 0; i < kSeedsAndProofs; ++i) {
    TRY(libtpms::sized(in));
  }
  TRY_ASSIGN(total_resets, in.u64_be());
  TRY_ASSIGN(reset_count, in.u32_be());
  TRY(libtpms::block(in));  // policies of PCRs, by the build
  TRY_ASSIGN(banks, read_banks(in));
  TRY(libtpms::sized(in));  // commands that need physical presence
  TRY(read_lockout(in, into.lockout));
  TRY_ASSIGN(orderly_state, in.u16_be());
  TRY(read_audit_and_firmware(in, into));
  TRY_ASSIGN(epoch_bytes, in.u8());
  TRY(in.bytes(epoch_bytes));
  TRY(libtpms::block(in));  // the banks that are in use now, how seeds are read
  into.data_version = version;
  into.clear_disabled = clear_disabled != 0;
  into.total_resets = total_resets;
  into.reset_count = reset_count;
  into.banks = std::move(banks);
  into.shutdown = shutdown_of(orderly_state);
  into.startup_at_locality_3 = into.shutdown != TpmShutdown::kNone &&
                               into.shutdown != TpmShutdown::kDaUsed &&
                               (orderly_state & kStartupLocality3Flag) != 0;
  into.has_data = true;
  return {};
}

base::Result<void> read_orderly_ram(base::Reader& in, std::vector<TpmOrderlyIndex>& into) {
  TRY(libtpms::begin(in, Part::kOrderlyRam));
  TRY_ASSIGN(room, in.u32_be());
  std::uint64_t used = 0;
  // A RAM that is full to the last entry has no entry of size 0 behind it.
  while (used + kRamEntryBytes <= room) {
    TRY_ASSIGN(entry_bytes, in.u32_be());
    if (entry_bytes == 0) {
      break;
    }
    TpmOrderlyIndex index;
    TRY_ASSIGN(number, in.u32_be());
    TRY_ASSIGN(attributes, in.u32_be());
    TRY_ASSIGN(content, libtpms::sized(in));
    index.index = number;
    index.attributes = attributes;
    index.content = content;
    into.push_back(index);
    used += entry_bytes;
  }
  TRY(libtpms::block(in));
  return {};
}

// All parts in front of the NV memory. Returns at the first that is not understood; what was read
// by then stays.
base::Result<void> read_parts(base::Reader& in, TpmPermanent& into) {
  if (into.version >= kWithProfile) {
    TRY_ASSIGN(profile, libtpms::sized(in));
    into.profile.assign(reinterpret_cast<const char*>(profile.data()), profile.size());
    while (!into.profile.empty() && into.profile.back() == '\0') {
      into.profile.pop_back();
    }
  }
  TRY(pass_compile_constants(in));
  TRY(read_data(in, into));
  TRY_ASSIGN(clock, libtpms::read_orderly_data(in));
  into.clock = clock;
  if (into.version < kWithoutIdleState || into.shutdown == TpmShutdown::kState) {
    TRY_ASSIGN(resumable, libtpms::read_resumable(in, /*clear_first=*/false));
    if (into.shutdown == TpmShutdown::kState) {
      into.resumable = resumable;
    }
  }
  return read_orderly_ram(in, into.orderly_indices);
}

}  // namespace

base::Result<TpmPermanent> decode_tpm_permanent(base::ByteView state) {
  base::Reader in(state);
  TpmPermanent result;
  TRY_ASSIGN(version, libtpms::begin(in, Part::kPersistentAll));
  result.version = version;
  if (const auto read = read_parts(in, result); !read) {
    result.not_understood = read.error().message;
  }
  auto nv = decode_tpm_nv_memory(state);
  if (nv) {
    result.nv = *std::move(nv);
  } else {
    result.not_understood += (result.not_understood.empty() ? "" : "; ") + nv.error().message;
  }
  return result;
}

}  // namespace vmgs::format
