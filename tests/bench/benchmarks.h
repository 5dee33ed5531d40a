// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "tests/bench/report.h"
#include "vmgs/base/result.h"

namespace tests::bench {

struct Setting {
  std::filesystem::path folder;    // on the disk to be measured; each benchmark adds its own
  std::filesystem::path programs;  // where ours are
  std::size_t rounds = 2000;
};

// Each benchmark drives all contestants of its comparisons from one process, one after the other in
// each round, in turning order, and throws the first rounds away. None of them fails on a time.

// commands(): round trips of commands that store nothing, with client and service on one processor
// and on two, against swtpm and against a bare echo.
base::Result<void> commands(const Setting& setting, Report& report);

// nv_write(): a durable NV write of new data, against swtpm and against what the disk needs for 8
// KiB.
base::Result<void> nv_write(const Setting& setting, Report& report);

// starts(): from nothing to the first answer of a TPM whose state is on the disk: a connection to a
// VM of vtpmd, a process of ours by itself, and swtpm.
base::Result<void> starts(const Setting& setting, Report& report);

// memory(): what one of 50 idle VMs costs, ours under one vtpmd, and swtpm.
base::Result<void> memory(const Setting& setting, Report& report);

// verifications(): SNP reports and TDX quotes verified from their bytes, and with the chain judged
// before, against the signatures in them by bare OpenSSL. The evidence is simulated.
base::Result<void> verifications(const Setting& setting, Report& report);

// releases(): starts of VMs by the key broker's rules, records in SQLite and in PostgreSQL, against
// the verification and the transactions in them; their latency at a fixed load, and what refusing
// costs. Evidence is simulated, and there is neither TLS nor a network.
base::Result<void> releases(const Setting& setting, Report& report);

// provisions(): a new VM with its keys, against swtpm_setup with certificates.
base::Result<void> provisions(const Setting& setting, Report& report);

}  // namespace tests::bench
