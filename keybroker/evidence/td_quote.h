// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/td_report.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// Intel TDX DCAP quoting library, quote header of versions 4 and 5.
struct TdQuoteHeaderLayout {
  base::U16Le version;
  base::U16Le attestation_key_type;  // 2: ECDSA P-256
  base::U32Le tee_type;              // 0x81
  base::U32Le reserved;
  std::array<std::byte, 16> qe_vendor_id;
  std::array<std::byte, 20> user_data;
};

static_assert(sizeof(TdQuoteHeaderLayout) == 48);
static_assert(offsetof(TdQuoteHeaderLayout, qe_vendor_id) == 12);

// The TD report body of TDX 1.0. A body of TDX 1.5 has 64 bytes more.
struct TdQuoteBodyLayout {
  std::array<std::byte, 16> tee_tcb_svn;
  TdxDigest mr_seam;
  TdxDigest mr_signer_seam;
  base::U64Le seam_attributes;
  base::U64Le attributes;
  base::U64Le xfam;
  TdxDigest mr_td;
  TdxDigest mr_config_id;
  TdxDigest mr_owner;
  TdxDigest mr_owner_config;
  std::array<TdxDigest, 4> rtmr;
  std::array<std::byte, 64> report_data;
};

static_assert(sizeof(TdQuoteBodyLayout) == 584);
static_assert(offsetof(TdQuoteBodyLayout, seam_attributes) == 112);
static_assert(offsetof(TdQuoteBodyLayout, mr_td) == 136);
static_assert(offsetof(TdQuoteBodyLayout, mr_config_id) == 184);
static_assert(offsetof(TdQuoteBodyLayout, mr_owner_config) == 280);
static_assert(offsetof(TdQuoteBodyLayout, rtmr) == 328);
static_assert(offsetof(TdQuoteBodyLayout, report_data) == 520);

struct TdQuoteBody15Layout {
  std::array<std::byte, 16> tee_tcb_svn2;
  TdxDigest mr_service_td;
};

static_assert(sizeof(TdQuoteBodyLayout) + sizeof(TdQuoteBody15Layout) == 648);

// An SGX report body, here that of the quoting enclave.
struct QeReportLayout {
  std::array<std::byte, 16> cpu_svn;
  base::U32Le misc_select;
  std::array<std::byte, 28> reserved_14;
  std::array<std::byte, 16> attributes;
  std::array<std::byte, 32> mr_enclave;
  std::array<std::byte, 32> reserved_60;
  std::array<std::byte, 32> mr_signer;
  std::array<std::byte, 96> reserved_a0;
  base::U16Le isv_prod_id;
  base::U16Le isv_svn;
  std::array<std::byte, 60> reserved_104;
  std::array<std::byte, 64> report_data;
};

static_assert(sizeof(QeReportLayout) == 384);
static_assert(offsetof(QeReportLayout, misc_select) == 16);
static_assert(offsetof(QeReportLayout, attributes) == 48);
static_assert(offsetof(QeReportLayout, mr_enclave) == 64);
static_assert(offsetof(QeReportLayout, mr_signer) == 128);
static_assert(offsetof(QeReportLayout, isv_prod_id) == 256);
static_assert(offsetof(QeReportLayout, isv_svn) == 258);
static_assert(offsetof(QeReportLayout, report_data) == 320);

// The vendor of every quoting enclave whose quotes are known here.
inline constexpr std::array<std::byte, 16> kIntelQeVendorId{
    std::byte{0x93}, std::byte{0x9a}, std::byte{0x72}, std::byte{0x33},
    std::byte{0xf7}, std::byte{0x9c}, std::byte{0x4c}, std::byte{0xa9},
    std::byte{0x94}, std::byte{0x0a}, std::byte{0x0d}, std::byte{0xb3},
    std::byte{0x95}, std::byte{0x7f}, std::byte{0x06}, std::byte{0x07}};

// The form of a quote. Version 5 says in front of the body which body follows.
enum class TdQuoteForm : std::uint8_t { kV4, kV5Body10, kV5Body15 };

// R and S, or X and Y, of P-256: 32 bytes each, big-endian.
using P256Pair = std::array<std::byte, 64>;

// TdQuote is a quote that has the right shape. It is unverified: what its signatures are worth, and
// whose certificates stand in it, is for whoever verifies it.
struct TdQuote {
  TdQuoteForm form = TdQuoteForm::kV4;
  std::array<std::byte, 20> user_data{};
  TdQuoteBodyLayout body{};
  std::optional<TdQuoteBody15Layout> body_15;  // only with kV5Body15, and then always

  P256Pair signature{};  // by the attestation key, over the first signed_bytes() of the quote
  P256Pair attestation_key{};
  QeReportLayout qe_report{};
  P256Pair qe_report_signature{};  // by the PCK, over qe_report
  base::Bytes qe_auth_data;
  std::string pck_chain;  // PEM, leaf first; it may end in a zero byte

  [[nodiscard]] std::size_t signed_bytes() const;
};

inline constexpr std::size_t kMaxTdQuoteBytes = 64 * 1024;
inline constexpr std::size_t kMaxTdQuotePadding = 8 * 1024;

// ReadTdQuote is a quote as far as it could be read, and what broke the format. Kernels hand out a
// buffer and not a quote, so bytes may follow it; a fault of theirs leaves the quote readable.
struct ReadTdQuote {
  std::optional<TdQuote> quote;
  std::optional<Finding> malformed;  // if and only if there is no quote
  std::optional<Finding> padding;
};

ReadTdQuote read_td_quote(base::ByteView bytes);

// decode_td_quote() accepts a quote of version 4, or of version 5 with a TD body, with
// certification data of type 6 around type 5, whose lengths meet exactly. Zero bytes may follow it,
// up to 8 KiB. kCorrupt names the field otherwise.
base::Result<TdQuote> decode_td_quote(base::ByteView bytes);

// encode_signed_part() gives the bytes that the attestation key signs, encode() the whole quote,
// without padding. body_15 must be there if and only if the form says so.
base::Bytes encode_signed_part(const TdQuote& quote);
base::Bytes encode(const TdQuote& quote);

}  // namespace keybroker::evidence
