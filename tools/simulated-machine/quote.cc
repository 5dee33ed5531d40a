// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "keybroker/evidence/hcl_report.h"
#include "tools/cli/stream.h"
#include "tools/simulated-machine/commands.h"
#include "tools/simulated-machine/machine_folder.h"
#include "vtpm/tee_sim/quoting.h"

namespace tools::simulated_machine {

namespace {

namespace evidence = keybroker::evidence;
namespace sim = vtpm::tee_sim;

constexpr std::size_t kMaxReportBytes = 64 * 1024;

struct Arguments {
  std::string report;
  std::string output;
};

// The TDREPORT itself, or out of a report as the TPM's index 0x01400001 has it.
base::Result<base::Bytes> td_report_in(base::ByteView bytes) {
  if (bytes.size() == evidence::kTdReportBytes) {
    return base::copy_of(bytes);
  }
  TRY_ASSIGN(hcl, evidence::decode_hcl_report(bytes));
  if (hcl.type != evidence::HclReportType::kTdx) {
    return base::fail(base::ErrorCode::kInvalidArgument, "this report holds no TDREPORT");
  }
  return base::copy_of(hcl.hardware_report);
}

base::Result<cli::ExitStatus> quote(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(bytes, cli::read_input(arguments.report, kMaxReportBytes));
  auto report = td_report_in(bytes.expose());
  if (!report) {
    return base::fail(std::move(report).error().context(arguments.report));
  }
  TRY_ASSIGN(folder, sim::MachineFolder::open(machine_folder_path()));
  TRY_ASSIGN(machine, folder.machine([]() -> base::Result<sim::Machine> {
    return base::fail(base::ErrorCode::kNotFound,
                      "there is no simulated machine yet, so this TDREPORT is not of it");
  }));
  const auto* tdx = std::get_if<sim::TdxMachine>(&machine);
  if (tdx == nullptr) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the simulated machine in " + folder.path().string() + " has SEV-SNP");
  }
  TRY_ASSIGN(service, sim::QuotingService::open(folder, *tdx, now()));
  TRY_ASSIGN(made, service.quote(*report));
  if (!arguments.output.empty()) {
    TRY(cli::write_file(arguments.output, made));
  } else if (output.json()) {
    TRY(output.document("strongroom.simulated-machine.quote/1", {{"quote", base::to_hex(made)}}));
  } else {
    TRY(output.bytes(made));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command quote_command() {
  return {.name = "quote",
          .summary = "Turn a TDREPORT of this machine into a TDX quote, as its host would",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.add_option("report", arguments->report,
                           "A TDREPORT, or the TPM's report (NV index 0x01400001); - for stdin")
                ->required()
                ->type_name("FILE");
            app.add_option("--output", arguments->output, "Where the quote goes; stdout without it")
                ->type_name("FILE");
            return [arguments](cli::Output& output) { return quote(*arguments, output); };
          }};
}

}  // namespace tools::simulated_machine
