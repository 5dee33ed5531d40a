// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/kbctl/commands.h"
#include "tools/kbctl/service.h"

namespace tools::kbctl {

namespace {

constexpr const char* kService = "TenantService";

template <typename Request>
struct Arguments {
  Service service;
  Request request;
};

std::string describe(const api::Tenant& tenant) {
  std::string text = tenant.tenant_id() + "  " + tenant.name() + "\n";
  cli::add_line(text, "key",
                tenant.key_provider() + " version " + std::to_string(tenant.key_version()) + ", " +
                    tenant.key_state());
  cli::add_line(text, "finding", tenant.key_finding());
  cli::add_line(text, "remedy", tenant.key_remedy());
  return text;
}

cli::Command create_command() {
  return {.name = "create",
          .summary =
              "Make a tenant and its key-encryption key: in the token that the broker's "
              "configuration names for it, else in software",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments<api::CreateTenantRequest>>();
            app.add_option("name", *arguments->request.mutable_name(), "For people")->required();
            app.add_option("--id", *arguments->request.mutable_tenant_id(), "Its UUID [drawn]")
                ->type_name("UUID");
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              TRY_ASSIGN(created, arguments->service.call<api::CreateTenantResponse>(
                                      kService, "CreateTenant", arguments->request));
              return answer(output, "strongroom.tenant/1", created, describe(created.tenant()));
            };
          }};
}

cli::Command list_command() {
  return {.name = "list",
          .summary = "The tenants, and whether their keys can be used",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto service = std::make_shared<Service>();
            add_service_arguments(app, *service);
            return [service](cli::Output& output) -> base::Result<cli::ExitStatus> {
              TRY_ASSIGN(listed, service->call<api::ListTenantsResponse>(
                                     kService, "ListTenants", api::ListTenantsRequest()));
              std::string text;
              for (const auto& tenant : listed.tenants()) {
                text += describe(tenant);
              }
              return answer(output, "strongroom.tenants/1", listed, text);
            };
          }};
}

cli::Command rotate_key_command() {
  return {
      .name = "rotate-key",
      .summary = "Give a tenant a new key, and wrap all keys that it keeps here anew under it",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments<api::RotateTenantKeyRequest>>();
        app.add_option("tenant", *arguments->request.mutable_tenant_id(), "Its UUID")->required();
        add_service_arguments(app, arguments->service);
        return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
          TRY_ASSIGN(rotated, arguments->service.call<api::RotateTenantKeyResponse>(
                                  kService, "RotateTenantKey", arguments->request));
          return answer(output, "strongroom.tenant_key/1", rotated,
                        "key version " + std::to_string(rotated.key_version()) + "; " +
                            std::to_string(rotated.rewrapped()) + " VM keys and " +
                            std::to_string(rotated.rewrapped_workload_keys()) +
                            " workload keys wrapped anew\n");
        };
      }};
}

}  // namespace

cli::Command tenant_commands() {
  return {.name = "tenant",
          .summary = "Owners of VMs, each with a key of its own (role operator)",
          .group = {create_command(), list_command(), rotate_key_command()}};
}

}  // namespace tools::kbctl
