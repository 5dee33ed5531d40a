// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/libtpms_data.h"

#include "vmgs/format/libtpms_part.h"

namespace vmgs::format::libtpms {

namespace {

constexpr std::uint16_t kAlgNull = 0x0010;

base::Result<void> pass_drbg(base::Reader& in) {
  TRY(begin(in, Part::kDrbgState));
  TRY(in.u64_be());  // reseed counter
  TRY(in.u32_be());  // magic
  TRY(sized(in));    // seed
  TRY_ASSIGN(words, in.u16_be());
  TRY(in.bytes(std::size_t{words} * sizeof(std::uint32_t)));
  TRY(block(in));
  return {};
}

base::Result<void> pass_context_array(base::Reader& in, std::uint16_t version) {
  constexpr std::uint16_t kWithWideSlots = 4;
  TRY_ASSIGN(slots, in.u16_be());
  if (version < kWithWideSlots) {
    TRY(in.bytes(slots));
    return {};
  }
  TRY(in.bytes(std::size_t{slots} * sizeof(std::uint16_t)));
  TRY(in.u16_be());  // mask
  return {};
}

base::Result<void> read_state_reset(base::Reader& in, TpmResumable& into) {
  TRY_ASSIGN(version, begin(in, Part::kStateReset));
  TRY(sized(in));  // null proof
  TRY(sized(in));  // null seed
  TRY_ASSIGN(clear_count, in.u32_be());
  TRY(in.u64_be());  // of object contexts
  TRY(pass_context_array(in, version));
  TRY(in.u64_be());  // of contexts
  TRY(sized(in));    // command audit digest
  TRY_ASSIGN(restart_count, in.u32_be());
  TRY_ASSIGN(pcr_counter, in.u32_be());
  TRY(block(in));  // of ECC commitments
  TRY(block(in));
  into.clear_count = clear_count;
  into.restart_count = restart_count;
  into.pcr_counter = pcr_counter;
  return {};
}

// The PCRs that a Shutdown with state saves.
base::Result<void> pass_pcr_save(base::Reader& in) {
  TRY(begin(in, Part::kPcrSave));
  TRY(in.u16_be());  // how many PCRs
  for (;;) {
    TRY_ASSIGN(algorithm, in.u16_be());
    if (algorithm == kAlgNull) {
      break;
    }
    TRY(sized(in));
  }
  TRY(block(in));
  return {};
}

base::Result<void> pass_pcr_auth_values(base::Reader& in) {
  TRY(begin(in, Part::kPcrAuthValues));
  TRY_ASSIGN(count, in.u16_be());
  for (std::uint16_t i = 0; i < count; ++i) {
    TRY(sized(in));
  }
  TRY(block(in));
  return {};
}

base::Result<void> read_state_clear(base::Reader& in, TpmResumable& into) {
  TRY(begin(in, Part::kStateClear));
  TRY_ASSIGN(owner_enabled, in.u8());
  TRY_ASSIGN(endorsement_enabled, in.u8());
  TRY_ASSIGN(platform_nv_enabled, in.u8());
  TRY(in.u16_be());  // hash of the platform's policy
  TRY_ASSIGN(policy, sized(in));
  TRY_ASSIGN(authorization, sized(in));
  TRY(pass_pcr_save(in));
  TRY(pass_pcr_auth_values(in));
  TRY(block(in));
  into.owner_enabled = owner_enabled != 0;
  into.endorsement_enabled = endorsement_enabled != 0;
  into.platform_nv_enabled = platform_nv_enabled != 0;
  into.platform = authority_of(authorization, policy);
  return {};
}

}  // namespace

base::Result<TpmClock> read_orderly_data(base::Reader& in) {
  TRY(begin(in, Part::kOrderlyData));
  TRY_ASSIGN(clock, in.u64_be());
  TRY_ASSIGN(is_safe, in.u8());
  TRY(pass_drbg(in));
  TRY(block(in));  // timers of dictionary attack protection, by the build
  TRY(block(in));
  return TpmClock{clock, is_safe != 0};
}

base::Result<TpmResumable> read_resumable(base::Reader& in, bool clear_first) {
  TpmResumable resumable;
  if (clear_first) {
    TRY(read_state_clear(in, resumable));
    TRY(read_state_reset(in, resumable));
  } else {
    TRY(read_state_reset(in, resumable));
    TRY(read_state_clear(in, resumable));
  }
  return resumable;
}

}  // namespace vmgs::format::libtpms
