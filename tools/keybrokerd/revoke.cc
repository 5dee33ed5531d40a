// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "tools/cli/stream.h"
#include "tools/keybrokerd/commands.h"
#include "tools/keybrokerd/services.h"
#include "tools/keybrokerd/tls_authority.h"

namespace tools::keybrokerd {

namespace {

struct Arguments {
  Flags flags;
  std::string caller;
};

constexpr const char* kExamples = R"(Examples:
  keybrokerd revoke alice                                the folder that `keybrokerd issue` made
  keybrokerd revoke 5f0c9a...                            the serial number, as in tls/issued of the state folder
  systemctl reload keybrokerd                            reads the list, and closes connections of who is on it
)";

base::Result<base::Bytes> serial_of(const std::string& caller) {
  std::error_code none;
  const auto file = std::filesystem::path(caller) / "certificate.pem";
  if (!std::filesystem::exists(file, none)) {
    auto serial = base::from_hex(caller);
    if (!serial || serial->empty()) {
      return base::fail(base::ErrorCode::kInvalidArgument,
                        "'" + caller +
                            "' is neither a folder with certificate.pem nor a serial number in "
                            "hexadecimal");
    }
    return serial;
  }
  TRY_ASSIGN(read, cli::read_input(file.string(), keybroker::crypto::kMaxPemBytes));
  const auto bytes = read.expose();
  TRY_ASSIGN(certificates, keybroker::crypto::decode_pem_certificates(
                               {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, 1));
  return certificates.front().serial();
}

base::Result<cli::ExitStatus> revoke(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(settings, read_settings(arguments.flags));
  if (!settings.tls_certificate.empty() || !settings.tls_revoked.empty()) {
    return base::fail(base::ErrorCode::kDenied,
                      "this broker heeds the revocation list of another hand ([tls] revoked): that "
                      "one revokes");
  }
  TRY_ASSIGN(serial, serial_of(arguments.caller));
  const auto now = now_in_seconds();
  TRY_ASSIGN(authority, TlsAuthority::open(settings.state_folder / "tls", now));
  TRY(authority.revoke(serial, now));
  const auto hex = base::to_hex(serial);
  TRY(output.json() ? output.document("strongroom.revoked/1", {{"serial", hex}})
                    : output.text(hex + " is revoked. A keybrokerd that runs heeds it after SIGHUP "
                                        "(systemctl reload keybrokerd)\n"));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command revoke_command() {
  return {.name = "revoke",
          .summary = "Take a caller's certificate back, on the broker's machine",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            add_flags(app, arguments->flags);
            app.add_option("caller", arguments->caller, "Its folder, or its serial number")
                ->type_name("FOLDER|SERIAL")
                ->required();
            return [arguments](cli::Output& output) { return revoke(*arguments, output); };
          }};
}

}  // namespace tools::keybrokerd
