// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/sev-guest.h>
#include <sys/ioctl.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "keybroker/evidence/snp_report.h"
#include "vmgs/base/layout.h"

// What passes between this process, /dev/sev-guest and the firmware, byte for byte: Linux
// uapi/linux/sev-guest.h, and the messages of the SNP firmware ABI that it carries.
namespace vtpm::tee {

// The argument of every call of the device.
struct SnpGuestRequestLayout {
  std::uint8_t message_version;
  std::array<std::byte, 7> padding;
  base::U64Le request_address;
  base::U64Le response_address;
  base::U64Le exit_info_2;  // low half: firmware error, high half: VMM error
};

static_assert(sizeof(SnpGuestRequestLayout) == 32);
static_assert(offsetof(SnpGuestRequestLayout, request_address) == 8);
static_assert(offsetof(SnpGuestRequestLayout, response_address) == 16);
static_assert(offsetof(SnpGuestRequestLayout, exit_info_2) == 24);
static_assert(sizeof(SnpGuestRequestLayout) == sizeof(snp_guest_request_ioctl));

inline constexpr unsigned long kSnpGetReport = 0xC0205300;
inline constexpr unsigned long kSnpGetDerivedKey = 0xC0205301;
inline constexpr unsigned long kSnpGetExtReport = 0xC0205302;

static_assert(kSnpGetReport == SNP_GET_REPORT);
static_assert(kSnpGetDerivedKey == SNP_GET_DERIVED_KEY);
static_assert(kSnpGetExtReport == SNP_GET_EXT_REPORT);

inline constexpr std::uint8_t kSnpMessageVersion = 1;

// VMM errors (GHCB specification, SNP Guest Request).
inline constexpr std::uint32_t kSnpVmmInvalidLength = SNP_GUEST_VMM_ERR_INVALID_LEN;
inline constexpr std::uint32_t kSnpVmmBusy = SNP_GUEST_VMM_ERR_BUSY;

// MSG_REPORT_REQ.
struct SnpReportRequestLayout {
  std::array<std::byte, 64> report_data;
  base::U32Le vmpl;
  std::array<std::byte, 28> reserved;
};

static_assert(sizeof(SnpReportRequestLayout) == 96);
static_assert(sizeof(SnpReportRequestLayout) == sizeof(snp_report_req));

// MSG_REPORT_RSP, in the buffer that the driver always fills whole.
struct SnpReportResponseLayout {
  base::U32Le status;
  base::U32Le report_bytes;
  std::array<std::byte, 24> reserved;
  keybroker::evidence::SnpReportLayout report;
  std::array<std::byte, 2784> rest;
};

static_assert(sizeof(SnpReportResponseLayout) == 4000);
static_assert(offsetof(SnpReportResponseLayout, report) == 32);
static_assert(sizeof(SnpReportResponseLayout) == sizeof(snp_report_resp));

// A report request together with the place for the host's certificates.
struct SnpExtReportRequestLayout {
  SnpReportRequestLayout request;
  base::U64Le certificates_address;
  base::U32Le certificates_bytes;  // in: room, whole pages; out: what is needed, if too small
  std::array<std::byte, 4> padding;
};

static_assert(sizeof(SnpExtReportRequestLayout) == 112);
static_assert(offsetof(SnpExtReportRequestLayout, certificates_address) == 96);
static_assert(offsetof(SnpExtReportRequestLayout, certificates_bytes) == 104);
static_assert(sizeof(SnpExtReportRequestLayout) == sizeof(snp_ext_report_req));

// Bits of GUEST_FIELD_SELECT: what is mixed into a derived key.
inline constexpr std::uint64_t kSnpMixPolicy = 1ULL << 0;
inline constexpr std::uint64_t kSnpMixImageId = 1ULL << 1;
inline constexpr std::uint64_t kSnpMixFamilyId = 1ULL << 2;
inline constexpr std::uint64_t kSnpMixMeasurement = 1ULL << 3;
inline constexpr std::uint64_t kSnpMixGuestSvn = 1ULL << 4;
inline constexpr std::uint64_t kSnpMixTcb = 1ULL << 5;

// MSG_KEY_REQ.
struct SnpKeyRequestLayout {
  base::U32Le root_key_select;  // 0: VCEK
  base::U32Le reserved;
  base::U64Le guest_field_select;
  base::U32Le vmpl;
  base::U32Le guest_svn;
  keybroker::evidence::RawTcb tcb_version;
};

static_assert(sizeof(SnpKeyRequestLayout) == 32);
static_assert(offsetof(SnpKeyRequestLayout, guest_field_select) == 8);
static_assert(offsetof(SnpKeyRequestLayout, vmpl) == 16);
static_assert(offsetof(SnpKeyRequestLayout, guest_svn) == 20);
static_assert(offsetof(SnpKeyRequestLayout, tcb_version) == 24);
static_assert(sizeof(SnpKeyRequestLayout) == sizeof(snp_derived_key_req));

// MSG_KEY_RSP.
struct SnpKeyResponseLayout {
  base::U32Le status;
  std::array<std::byte, 28> reserved;
  std::array<std::byte, 32> key;
};

static_assert(sizeof(SnpKeyResponseLayout) == 64);
static_assert(offsetof(SnpKeyResponseLayout, key) == 32);
static_assert(sizeof(SnpKeyResponseLayout) == sizeof(snp_derived_key_resp));

// Status values of both messages.
inline constexpr std::uint32_t kSnpInvalidParameter = 0x16;
inline constexpr std::uint32_t kSnpInvalidKeySelection = 0x27;

}  // namespace vtpm::tee
