// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace keybroker::evidence {

// A TCB_VERSION as the firmware gives it, eight bytes. What the bytes mean differs by product line,
// so two of them are compared component by component and never as one integer.
using RawTcb = std::array<std::byte, 8>;

// SNP firmware ABI, TCB_VERSION: Milan and Genoa have one form, Turin and what follows another.
enum class TcbForm : std::uint8_t { kMilanGenoa, kTurin };

// TcbVersion is a TCB_VERSION with its components by name. Milan and Genoa have no FMC: it is 0.
struct TcbVersion {
  std::uint8_t fmc = 0;
  std::uint8_t boot_loader = 0;
  std::uint8_t tee = 0;
  std::uint8_t snp = 0;
  std::uint8_t microcode = 0;

  friend bool operator==(const TcbVersion&, const TcbVersion&) = default;
};

// decode_tcb() names the components and ignores the reserved bytes, encode_tcb() leaves them zero.
TcbVersion decode_tcb(const RawTcb& raw, TcbForm form);
RawTcb encode_tcb(const TcbVersion& tcb, TcbForm form);

// reaches() is true if no component of `tcb` is below that of `wanted`. It is no total order: of
// two versions neither may reach the other.
bool reaches(const TcbVersion& tcb, const TcbVersion& wanted);

// describe() is "boot loader 3, TEE 0, SNP 8, microcode 115", with "FMC 0, " in front for Turin.
std::string describe(const TcbVersion& tcb, TcbForm form);

}  // namespace keybroker::evidence
