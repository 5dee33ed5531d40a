// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "keybroker/evidence/snp_product.h"
#include "keybroker/evidence/snp_tcb.h"
#include "keybroker/evidence/td_quote.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace vtpm::tee_sim {

using keybroker::evidence::SnpProduct;

// SnpMachine is a simulated SEV-SNP machine with one VM on it: what a firmware update, another
// image, an older TCB or a debug policy changes. HOST_DATA is not here: it is the digest of the
// launch document.
struct SnpMachine {
  SnpProduct product = SnpProduct::kGenoa;
  std::array<std::byte, 64> chip_id{};  // Turin: 8 bytes, then zero
  std::array<std::byte, 48> measurement{};
  std::uint64_t policy = 0x30000;
  std::uint32_t guest_svn = 0;
  std::array<std::byte, 16> family_id{};
  std::array<std::byte, 16> image_id{};
  std::uint32_t vmpl = 0;
  std::uint64_t platform_info = 0x25;  // SMT, ECC, alias check
  std::uint32_t report_version = 5;    // 2, 3 or 5
  keybroker::evidence::TcbVersion current;
  keybroker::evidence::TcbVersion committed;
  keybroker::evidence::TcbVersion reported;
  keybroker::evidence::TcbVersion launch;

  friend bool operator==(const SnpMachine&, const SnpMachine&) = default;
};

// TdxMachine is the same for TDX. MRCONFIGID is the digest of the launch document.
struct TdxMachine {
  std::array<std::byte, 16> platform_id{};  // stands for the CPU's own secret: two chips, two ids
  keybroker::evidence::TdxDigest mr_td{};
  std::uint64_t attributes = 0x10000000;  // SEPT_VE_DISABLE
  std::uint64_t xfam = 0x602E7;
  keybroker::evidence::TdxDigest mr_owner{};
  keybroker::evidence::TdxDigest mr_owner_config{};
  std::array<keybroker::evidence::TdxDigest, 4> rtmr{};
  std::array<std::byte, 16> tee_tcb_svn{};
  std::array<std::byte, 16> cpu_svn{};
  keybroker::evidence::TdQuoteForm quote_form = keybroker::evidence::TdQuoteForm::kV4;

  friend bool operator==(const TdxMachine&, const TdxMachine&) = default;
};

using Machine = std::variant<SnpMachine, TdxMachine>;

// A machine that an unchanged policy accepts, with a chip of its own drawn at random.
base::Result<SnpMachine> new_snp_machine();
base::Result<TdxMachine> new_tdx_machine();

// to_json() writes a machine for people to edit, one member a line.
std::string to_json(const Machine& machine);

// parse_machine() reads that. All members are required and no other is allowed, so that a typing
// error does not pass for a default. kInvalidArgument names the member.
base::Result<Machine> parse_machine(std::string_view json);

}  // namespace vtpm::tee_sim
