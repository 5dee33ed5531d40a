// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vtpm/tee/kernel.h"
#include "vtpm/tee/tee.h"

namespace vtpm::tee {

inline constexpr const char* kTsmFolder = "/sys/kernel/config/tsm/report";

// What is asked of configfs-tsm (Linux, Documentation/ABI/testing/configfs-tsm; 6.7 and later).
struct TsmRequest {
  ReportData report_data{};
  std::string provider;               // who must answer: "tdx_guest", "sev_guest"
  std::optional<unsigned> privlevel;  // SEV-SNP: the VMPL to be named
};

struct TsmReport {
  base::Bytes report;     // outblob
  base::Bytes auxiliary;  // auxblob, empty where there is none: the certificate table of SEV-SNP
};

// tsm_report() makes a report folder of its own, asks, and removes the folder. The generation
// counter tells whether anybody else wrote in between; then it asks anew. kUnavailable if there is
// no configfs-tsm or no provider, or it stays busy; kDenied if permission or the privilege level is
// missing, or another provider answers; kIo if the kernel fails or the report is too large for it.
base::Result<TsmReport> tsm_report(Kernel& kernel, const TsmRequest& request,
                                   const std::filesystem::path& folder = kTsmFolder);

}  // namespace vtpm::tee
