// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <memory>

#include "tools/cli/stream.h"
#include "tools/simulated-machine/commands.h"
#include "tools/simulated-machine/machine_folder.h"
#include "vtpm/tee_sim/vendor.h"

namespace tools::simulated_machine {

namespace {

namespace fs = std::filesystem;
namespace sim = vtpm::tee_sim;

base::Result<void> write_text(const fs::path& file, std::string_view text) {
  return cli::write_file(file, base::bytes_of(text));
}

base::Result<void> write_publication(const sim::MachineFolder& machine_folder,
                                     const sim::SnpMachine& machine, const fs::path& folder) {
  TRY_ASSIGN(published, sim::publish(machine_folder, machine, now()));
  TRY(write_text(folder / "root.pem", published.ark.pem()));
  TRY(write_text(folder / "snp-certificates.pem",
                 published.vcek.pem() + published.ask.pem() + published.ark.pem()));
  const auto line = std::string(name(machine.product));
  return cli::write_file(folder / "collateral/amd" / (line + ".crl"), published.crl.der());
}

base::Result<void> write_publication(const sim::MachineFolder& machine_folder,
                                     const sim::TdxMachine& machine, const fs::path& folder) {
  TRY_ASSIGN(published, sim::publish(machine_folder, machine, now()));
  const auto intel = folder / "collateral/intel";
  TRY(write_text(folder / "root.pem", published.root.pem()));
  TRY(write_text(intel / "signers.pem", published.tcb_signer.pem() + published.root.pem()));
  TRY(write_text(intel / "tcb-info.json", published.tcb_info));
  TRY(write_text(intel / "qe-identity.json", published.qe_identity));
  TRY(cli::write_file(intel / "root.crl", published.root_crl.der()));
  TRY(cli::write_file(intel / "pck-platform.crl", published.platform_crl.der()));
  return cli::write_file(intel / "pck-processor.crl", published.processor_crl.der());
}

base::Result<cli::ExitStatus> publish(const std::string& folder, const std::string& tee,
                                      cli::Output& output) {
  TRY_ASSIGN(machine_folder, sim::MachineFolder::open(machine_folder_path()));
  TRY_ASSIGN(machine, machine_folder.machine([&]() -> base::Result<sim::Machine> {
    if (tee == "tdx") {
      return sim::new_tdx_machine();
    }
    return sim::new_snp_machine();
  }));
  const bool snp = std::holds_alternative<sim::SnpMachine>(machine);
  if (!tee.empty() && snp != (tee == "sev-snp")) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the simulated machine in " + machine_folder_path().string() +
                          " is there already and has " + (snp ? "SEV-SNP" : "TDX") +
                          "; name another with STRONGROOM_SIMULATED_MACHINE");
  }
  TRY(std::visit([&](const auto& made) { return write_publication(machine_folder, made, folder); },
                 machine));
  const auto measurement = base::to_hex(snp ? std::get<sim::SnpMachine>(machine).measurement
                                            : std::get<sim::TdxMachine>(machine).mr_td);
  if (output.json()) {
    TRY(output.document(
        "strongroom.simulated-machine.publish/1",
        {{"folder", folder}, {"tee", snp ? "sev-snp" : "tdx"}, {"measurement", measurement}}));
  } else {
    output.talk(folder + " has what the vendor of the simulated " + (snp ? "SEV-SNP" : "TDX") +
                " machine publishes: nothing real stands behind it");
    TRY(output.text((snp ? "MEASUREMENT of its VMs: " : "MRTD of its VMs: ") + measurement + "\n"));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command publish_command() {
  return {.name = "publish",
          .summary = "Write what AMD or Intel would hand out about this machine into a folder",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto folder = std::make_shared<std::string>();
            auto tee = std::make_shared<std::string>();
            app.add_option("folder", *folder,
                           "Gets root.pem for `attest verify --trust-simulator`, collateral/ for "
                           "its --collateral, and for SEV-SNP snp-certificates.pem for `attest "
                           "collect --snp-certificates`")
                ->required()
                ->type_name("FOLDER");
            app.add_option("--tee", *tee, "What a machine that is still to be made has")
                ->check(CLI::IsMember({"sev-snp", "tdx"}));
            return [folder, tee](cli::Output& output) { return publish(*folder, *tee, output); };
          }};
}

}  // namespace tools::simulated_machine
