// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "vmgs/base/cursor.h"
#include "vmgs/format/libtpms_data.h"
#include "vmgs/format/libtpms_part.h"
#include "vmgs/format/tpm_permanent.h"

namespace vmgs::format {

namespace {

using libtpms::Part;

constexpr std::uint16_t kAlgNull = 0x0010;
constexpr std::size_t kPcrs = 24;  // PC Client Platform TPM Profile, 4.6.1
constexpr std::size_t kMostBanks = 16;
constexpr std::size_t kVersionBytes = 2;
constexpr std::array kPcrBytes = {std::byte{0xE9}, std::byte{0x5F}, std::byte{0x03},
                                  std::byte{0x87}};

base::Result<void> read_parts(base::Reader& in, TpmVolatile& into) {
  TRY(in.u32_be());  // session of an exclusive audit
  TRY_ASSIGN(time, in.u64_be());
  TRY_ASSIGN(platform_enabled, in.u8());
  TRY(in.u8());             // PCRs to be configured anew
  TRY(in.u32_be());         // sequence of a dynamic root of trust
  TRY(in.u8());             // whether it was before the start
  TRY(in.u8());             // startup at locality 3
  TRY(libtpms::block(in));  // whether a DA-protected object was used
  TRY(in.u8());             // power was lost
  TRY(in.u16_be());         // how the TPM was left before this start
  TRY(in.u8());             // NV works
  TRY(libtpms::sized(in));
  into.time_milliseconds = time;
  into.platform_enabled = platform_enabled != 0;
  TRY_ASSIGN(clock, libtpms::read_orderly_data(in));
  into.clock = clock;
  TRY_ASSIGN(resumable, libtpms::read_resumable(in, /*clear_first=*/true));
  into.resumable = resumable;
  return {};
}

// One PCR in all banks.
base::Result<std::vector<TpmPcrValues>> read_pcr(base::Reader& in) {
  std::vector<TpmPcrValues> pcr;
  TRY(libtpms::begin(in, Part::kPcr));
  for (;;) {
    TRY_ASSIGN(algorithm, in.u16_be());
    if (algorithm == kAlgNull) {
      break;
    }
    if (pcr.size() == kMostBanks) {
      return libtpms::corrupt("PCRs", "too many banks");
    }
    TRY_ASSIGN(value, libtpms::sized(in));
    pcr.push_back({algorithm, {value}});
  }
  TRY(libtpms::block(in));
  return pcr;
}

base::Result<std::vector<TpmPcrValues>> read_pcrs(base::ByteView from) {
  base::Reader in(from);
  TRY_ASSIGN(banks, read_pcr(in));
  for (std::size_t i = 1; i < kPcrs; ++i) {
    TRY_ASSIGN(pcr, read_pcr(in));
    if (pcr.size() != banks.size()) {
      return libtpms::corrupt("PCRs", "they have different banks");
    }
    for (std::size_t bank = 0; bank < banks.size(); ++bank) {
      const bool fits = pcr[bank].algorithm == banks[bank].algorithm &&
                        pcr[bank].values[0].size() == banks[bank].values[0].size();
      if (!fits) {
        return libtpms::corrupt("PCRs", "they have different banks");
      }
      banks[bank].values.push_back(pcr[bank].values[0]);
    }
  }
  return banks;
}

std::vector<TpmPcrValues> find_pcrs(base::ByteView state) {
  auto from = state.begin();
  for (;;) {
    const auto found = std::search(from, state.end(), kPcrBytes.begin(), kPcrBytes.end());
    if (found == state.end()) {
      return {};
    }
    const auto offset = static_cast<std::size_t>(found - state.begin());
    if (offset >= kVersionBytes) {
      if (auto pcrs = read_pcrs(state.subspan(offset - kVersionBytes))) {
        return *std::move(pcrs);
      }
    }
    from = found + 1;
  }
}

}  // namespace

base::Result<TpmVolatile> decode_tpm_volatile(base::ByteView state) {
  base::Reader in(state);
  TpmVolatile result;
  TRY_ASSIGN(version, libtpms::begin(in, Part::kVolatileState));
  result.version = version;
  if (const auto read = read_parts(in, result); !read) {
    result.not_understood = read.error().message;
  }
  result.pcrs = find_pcrs(state);
  if (result.pcrs.empty()) {
    result.not_understood +=
        std::string(result.not_understood.empty() ? "" : "; ") + "no PCRs were found";
  }
  return result;
}

}  // namespace vmgs::format
