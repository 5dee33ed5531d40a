// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "keybroker/evidence/bundle.h"
#include "tools/attest/collection.h"
#include "tools/attest/commands.h"
#include "tools/attest/guest_tpm.h"
#include "tools/cli/stream.h"

namespace tools::attest {

namespace {

using namespace keybroker::evidence;

struct Arguments {
  std::string tcti;
  std::string nonce;
  std::string user_data;
  std::string key = "rsa";
  std::string owner_auth;
  Collection collection;
  std::string output;
};

base::Result<base::Bytes> hex_argument(const std::string& digits, const std::string& name) {
  auto bytes = base::from_hex(digits);
  if (!bytes || bytes->empty() || bytes->size() > 64) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      name + " is 1 to 64 bytes in hexadecimal digits");
  }
  return bytes;
}

base::Result<Evidence> collect(const Arguments& arguments, const cli::Output& output) {
  TRY_ASSIGN(nonce, hex_argument(arguments.nonce, "--nonce"));
  TRY_ASSIGN(tpm, GuestTpm::open(arguments.tcti));
  if (!arguments.owner_auth.empty()) {
    TRY_ASSIGN(password, cli::read_input(arguments.owner_auth, 64));
    TRY(tpm.use_owner_auth(password.expose()));
  }
  if (!arguments.user_data.empty()) {
    TRY_ASSIGN(user_data, hex_argument(arguments.user_data, "--user-data"));
    TRY(tpm.write_user_data(user_data));
  }
  auto wanted = arguments.collection;
  wanted.nonce = std::move(nonce);
  wanted.ak_handle = arguments.key == "ecc" ? kEccAkHandle : kRsaAkHandle;
  return collect_evidence(tpm, wanted, [&output](const std::string& line) { output.talk(line); });
}

base::Result<cli::ExitStatus> write_bundle(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(evidence, collect(arguments, output));
  TRY_ASSIGN(text, encode_bundle(evidence));
  if (arguments.output.empty()) {
    TRY(output.text(text + "\n"));
  } else {
    TRY(cli::write_file(arguments.output, base::bytes_of(text)));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command collect_command() {
  return {
      .name = "collect",
      .summary =
          "In the guest: evidence, a quote for a nonce, event log and certificates in one "
          "bundle",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments>();
        app.add_option("--nonce", arguments->nonce, "What the verifier asked for, 1 to 64 bytes")
            ->required()
            ->type_name("HEX");
        app.add_option("--tcti", arguments->tcti,
                       "How to reach the TPM, as the TSS spells it: device:/dev/tpmrm0")
            ->type_name("TCTI");
        app.add_option("--user-data", arguments->user_data,
                       "Bytes that the hardware report is to bind, in a report of its own")
            ->type_name("HEX");
        app.add_option("--key", arguments->key, "Which AK signs the quote")
            ->check(CLI::IsMember({"rsa", "ecc"}))
            ->capture_default_str();
        app.add_option("--bank", arguments->collection.banks, "Banks to quote: sha256, sha384, ...")
            ->capture_default_str();
        app.add_option("--pcr", arguments->collection.pcrs, "PCRs to quote; all 24 without it")
            ->check(CLI::Range(0, 23));
        app.add_option("--owner-auth", arguments->owner_auth,
                       "The TPM owner's password, in a file; - for stdin")
            ->type_name("FILE");
        app.add_option("--event-log", arguments->collection.event_log,
                       "The firmware's log; the kernel's without it, none for \"none\"")
            ->type_name("FILE");
        app.add_option("--snp-certificates", arguments->collection.snp_certificates,
                       "VCEK and what is above it: PEM, or the host's certificate table")
            ->type_name("FILE");
        app.add_option("--td-quote", arguments->collection.td_quote,
                       "A TDX quote over the report data of the TPM's report")
            ->type_name("FILE");
        app.add_option("--cc-event-log", arguments->collection.cc_event_log,
                       "The log of the RTMRs, beside --td-quote")
            ->type_name("FILE");
        app.add_option("--output", arguments->output, "Where the bundle goes; stdout without it")
            ->type_name("FILE");
        return [arguments](cli::Output& output) { return write_bundle(*arguments, output); };
      }};
}

}  // namespace tools::attest
