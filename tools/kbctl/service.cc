// SPDX-License-Identifier: Apache-2.0
#include "tools/kbctl/service.h"

#include <CLI/CLI.hpp>
#include <map>

#include "tools/cli/stream.h"
#include "transport/tls/context.h"
#include "transport/tls/endpoint.h"
#include "vmgs/crypto/random.h"

namespace tools::kbctl {

namespace {

constexpr const char* kRequestId = "request_id";
constexpr std::size_t kRequestIdBytes = 16;

}  // namespace

base::Result<transport::rpc::WaitingClient> Service::connect(const char* service) const {
  TRY_ASSIGN(endpoint, transport::tls::parse_endpoint(broker));
  return Client::create(std::move(endpoint),
                        {.certificate = identity / "certificate.pem",
                         .key = identity / "key.pem",
                         .authorities = identity / "ca.pem"},
                        *api::Vm::descriptor()->file()->FindServiceByName(service));
}

base::Result<bool> Service::identify(google::protobuf::Message& request) const {
  const auto* field = request.GetDescriptor()->FindFieldByName(kRequestId);
  if (field == nullptr) {
    return false;
  }
  base::Bytes id(kRequestIdBytes);
  if (request_id.empty()) {
    TRY(::vmgs::crypto::random_bytes(id));
  } else {
    auto given = base::from_hex(request_id);
    if (!given || given->size() != kRequestIdBytes) {
      return base::fail(base::ErrorCode::kInvalidArgument,
                        "--request-id: expected 32 hexadecimal digits");
    }
    id = *std::move(given);
  }
  request.GetReflection()->SetString(
      &request, field, std::string(reinterpret_cast<const char*>(id.data()), id.size()));
  return true;
}

std::string Service::unknown_outcome(const std::string& error,
                                     const google::protobuf::Message& request) {
  const auto* field = request.GetDescriptor()->FindFieldByName(kRequestId);
  const auto id = request.GetReflection()->GetString(request, field);
  return error + ". If it was done nevertheless, the same command with --request-id " +
         base::to_hex(base::bytes_of(id)) + " finds out, and does it only once";
}

void add_service_arguments(CLI::App& app, Service& service) {
  app.add_option("--broker", service.broker, "Where keybrokerd listens")
      ->envname("KBCTL_BROKER")
      ->type_name("https://HOST:PORT")
      ->required();
  app.add_option("--identity", service.identity,
                 "Folder with certificate.pem, key.pem and ca.pem, as `keybrokerd issue` makes it")
      ->envname("KBCTL_IDENTITY")
      ->type_name("FOLDER")
      ->required();
  app.add_option("--request-id", service.request_id,
                 "Ask again for a change that had no answer, as its error named it")
      ->type_name("HEX");
  app.add_option("--timeout", service.timeout, "Give up after this long [30s]")
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, std::int64_t>{{"ms", 1}, {"s", 1000}, {"m", 60'000}},
          CLI::AsNumberWithUnit::UNIT_REQUIRED, "TIME"))
      ->type_name("TIME (10s, 500ms)");
}

base::Result<cli::ExitStatus> answer(cli::Output& output, std::string_view schema,
                                     const google::protobuf::Message& message,
                                     const std::string& text) {
  TRY(output.json() ? output.document(schema, to_json(message)) : output.text(text));
  return cli::ExitStatus::kDone;
}

base::Result<std::string> read_text(const std::string& from, std::size_t most_bytes) {
  TRY_ASSIGN(read, cli::read_input(from, most_bytes));
  const auto bytes = read.expose();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::string describe(const api::Vm& vm) {
  std::string text = vm.vm_id() + "  " + vm.status() + "\n";
  using cli::add_line;
  add_line(text, "tenant", vm.tenant_id());
  add_line(text, "TEE",
           vm.tee() + (vm.root_class() == "production"
                           ? ""
                           : " (SIMULATED: nothing real stands behind its evidence)"));
  add_line(text, "protection", vm.protection() + ", " + vm.lifetime());
  add_line(text, "offline", vm.offline_rule());
  add_line(text, "anchored", vm.anchor_class());
  add_line(text, "disks", vm.fde_mode());
  add_line(text, "region", vm.region());
  add_line(text, "digest", vm.launch_digest());
  if (!vm.previous_launch_digest().empty()) {
    add_line(text, "converts",
             "from " + vm.previous_launch_digest() +
                 ", which gets the key too until the first boot under the new");
  }
  for (const auto& policy : vm.policies()) {
    add_line(text, "policy", policy);
  }
  if (vm.other_owners() > 0) {
    add_line(text, "owners", std::to_string(vm.other_owners()) + " more have to agree");
  }
  add_line(text, "epoch", std::to_string(vm.epoch()) + " (starts that got the key)");
  add_line(text, "anchor",
           vm.anchor_sequence() == 0 ? "none yet"
                                     : "commit " + std::to_string(vm.anchor_sequence()) +
                                           " of epoch " + std::to_string(vm.anchor_epoch()));
  add_line(text, "restores", std::to_string(vm.restores()));
  if (!vm.restore_until().empty()) {
    add_line(text, "restore", "allowed until " + vm.restore_until());
  }
  add_line(text, "key", "version " + std::to_string(vm.key_version()));
  add_line(text, "registered", time_text(vm.created()));
  if (vm.has_last_release()) {
    add_line(text, "released", time_text(vm.last_release()));
  }
  return text;
}

}  // namespace tools::kbctl
