// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmctl/service.h"

#include <CLI/CLI.hpp>

namespace tools::vtpmctl {

namespace {

namespace json = boost::json;

std::string join(const api::VmParameters& parameters) {
  std::string text = parameters.tee();
  if (!parameters.tenant().empty()) {
    text += ", tenant " + parameters.tenant();
  }
  return text;
}

}  // namespace

void add_service_arguments(CLI::App& app, Service& service) {
  app.add_option("--socket", service.socket, "Where vtpmd listens [" + service.socket + "]")
      ->envname("VTPMD_SOCKET")
      ->type_name("PATH");
  app.add_option("--timeout", service.timeout, "Give up after this long")
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, std::int64_t>{{"ms", 1}, {"s", 1000}, {"m", 60'000}},
          CLI::AsNumberWithUnit::UNIT_REQUIRED, "TIME"))
      ->type_name("TIME (10s, 500ms)");
}

void add_key_argument(CLI::App& app, std::string& key) {
  app.add_option("--idempotency-key", key,
                 "A repeated call with the same key changes nothing and gets the same answer")
      ->type_name("KEY");
}

json::object to_json(const api::Vm& vm) {
  auto object = cli::to_json(vm);
  // The parameters stand beside the rest, as they do on the command line.
  const auto parameters = object.if_contains("parameters");
  if (parameters != nullptr && parameters->is_object()) {
    const auto fields = parameters->as_object();
    object.erase("parameters");
    for (const auto& field : fields) {
      object.insert(field);
    }
  }
  return object;
}

std::string describe(const api::Readiness& readiness) {
  std::string text;
  cli::add_line(text, "readiness", readiness.name() + ": " + readiness.meaning());
  cli::add_line(text, "reason", readiness.reason());
  if (!readiness.is_ready()) {
    cli::add_line(text, "remedy", readiness.remedy());
  }
  return text;
}

std::string describe(const api::Vm& vm) {
  std::string text = vm.name() + "  " + vm.vm_id() + "\n" + describe(vm.readiness());
  cli::add_line(text, "guest", vm.guest() ? "connected" : "none");
  cli::add_line(text, "process", vm.pid() == 0 ? "" : std::to_string(vm.pid()));
  cli::add_line(text, "migration",
                vm.migration() == "awaited"   ? "its TPM is still to arrive from another host"
                : vm.migration() == "offered" ? "its TPM was offered to another host"
                                              : "");
  if (vm.states_taken() + vm.states_put_in() > 0) {
    cli::add_line(text, "snapshots",
                  "its hypervisor has taken the TPM's state " + std::to_string(vm.states_taken()) +
                      " times and put one in " + std::to_string(vm.states_put_in()) +
                      " times; whoever has such a state can take the TPM back to it");
  }
  cli::add_line(text, "lifetime", vm.lifetime_note());
  cli::add_line(text, "protection", vm.parameters().protection());
  cli::add_line(text, "opened by", vm.opened_by());
  if (vm.has_broker()) {
    cli::add_line(
        text, "broker",
        vm.broker().endpoint() + " answered at " + cli::time_text(vm.broker().answered_at()));
  }
  cli::add_line(text, "TEE",
                join(vm.parameters()) +
                    (vm.simulated_tee() ? " (SIMULATED: nothing real protects this VM)" : ""));
  cli::add_line(text, "digest", vm.launch_digest());
  if (!vm.launch_document_before().empty()) {
    cli::add_line(text, "converted",
                  "and not started since; `vtpmctl convert " + vm.name() + " --undo` goes back");
  }
  cli::add_line(text, "store", vm.store_path());
  cli::add_line(text, "durability", vm.durability());
  cli::add_line(text, "state blobs", vm.state_blobs());
  cli::add_line(text, "control", vm.control_socket());
  cli::add_line(text, "data", vm.data_socket());
  cli::add_line(text, "variables", vm.variables_socket());
  cli::add_line(text, "QEMU", vm.qemu_options());
  cli::add_line(text, "QEMU (UEFI)", vm.qemu_variables_option());
  return text;
}

boost::json::object to_json(const api::Lockout& lockout) {
  boost::json::object object = {{"failed_tries", lockout.failed_tries()},
                                {"max_tries", lockout.max_tries()},
                                {"recovery_seconds", lockout.recovery_seconds()},
                                {"lockout_recovery_seconds", lockout.lockout_recovery_seconds()},
                                {"locked_out", lockout.locked_out()},
                                {"has_authorization", lockout.has_authorization()}};
  object["locked_out_until"] = lockout.has_locked_out_until()
                                   ? boost::json::value(time_text(lockout.locked_out_until()))
                                   : boost::json::value(nullptr);
  return object;
}

std::string describe(const api::Lockout& lockout) {
  return std::to_string(lockout.failed_tries()) + " of " + std::to_string(lockout.max_tries()) +
         " tries failed" + (lockout.locked_out() ? ", LOCKED OUT" : "") +
         (lockout.has_locked_out_until()
              ? " until " + time_text(lockout.locked_out_until()) + " at the latest"
              : "") +
         "; one is forgotten each " + std::to_string(lockout.recovery_seconds()) + " s";
}

}  // namespace tools::vtpmctl
