// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/serialize.hpp>
#include <memory>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/signed_message.h"
#include "keybroker/protocol/broker.pb.h"
#include "tools/kbctl/commands.h"
#include "tools/kbctl/service.h"

namespace tools::kbctl {

namespace {

namespace crypto = keybroker::crypto;
using base::ErrorCode;

constexpr const char* kService = "ReleaseLogService";
constexpr std::string_view kLabel = "strongroom.checkpoint/1";
constexpr std::size_t kMostCheckpointBytes = 64 * 1024;
constexpr std::size_t kMostRoots = 8;

struct Arguments {
  Service service;
  api::VerifyAuditRequest request;
  std::string checkpoint;
  std::string roots;
};

void add_roots(CLI::App& app, Arguments& arguments) {
  app.add_option("--root", arguments.roots,
                 "Check here as well that the checkpoint was signed under one of these roots")
      ->type_name("PEM");
}

// verify_signature() does not ask the broker: a copy is worth what its signature is.
base::Result<void> verify_signature(const api::SignedCheckpoint& checkpoint,
                                    const std::string& roots) {
  TRY_ASSIGN(text, read_text(roots, crypto::kMaxPemBytes));
  TRY_ASSIGN(certificates, crypto::decode_pem_certificates(text, kMostRoots));
  std::vector<crypto::Fingerprint> pins;
  for (const auto& certificate : certificates) {
    pins.push_back(certificate.fingerprint());
  }
  api::SignedAnswer encoded;
  crypto::SignedMessage message;
  if (!encoded.ParseFromString(checkpoint.signature()) ||
      encoded.signature().size() != message.signature.size()) {
    return base::fail(ErrorCode::kCorrupt, "the checkpoint has no signature");
  }
  message.body = base::copy_of(base::bytes_of(encoded.body()));
  std::ranges::copy(base::bytes_of(encoded.signature()), message.signature.begin());
  for (const auto& certificate : encoded.chain()) {
    message.chain.push_back(base::copy_of(base::bytes_of(certificate)));
  }
  TRY_ASSIGN(body, crypto::verify_signed_message(kLabel, {}, message, pins, std::nullopt));
  if (!std::ranges::equal(body, base::bytes_of(checkpoint.body()))) {
    return base::fail(ErrorCode::kAuthentication, "the signature is of another checkpoint");
  }
  return {};
}

base::Result<cli::ExitStatus> checkpoint(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(newest, arguments.service.call<api::SignedCheckpoint>(kService, "GetCheckpoint",
                                                                   api::GetCheckpointRequest()));
  if (!arguments.roots.empty()) {
    TRY(verify_signature(newest, arguments.roots));
  }
  return answer(output, "strongroom.checkpoint/1", newest,
                boost::json::serialize(to_json(newest)) + "\n");
}

base::Result<cli::ExitStatus> audit(Arguments& arguments, cli::Output& output) {
  auto& request = arguments.request;
  if (!arguments.checkpoint.empty()) {
    TRY_ASSIGN(text, read_text(arguments.checkpoint, kMostCheckpointBytes));
    if (auto read = cli::from_json(text, *request.mutable_checkpoint()); !read) {
      return base::fail(std::move(read).error().context(arguments.checkpoint));
    }
    if (!arguments.roots.empty()) {
      TRY(verify_signature(request.checkpoint(), arguments.roots));
    }
  }
  TRY_ASSIGN(verified,
             arguments.service.call<api::VerifyAuditResponse>(kService, "VerifyAudit", request));
  std::string text = "BROKEN: " + verified.finding() + "\n";
  if (verified.intact()) {
    text = "intact: " + std::to_string(verified.rows()) + " rows";
    if (request.subject().empty()) {
      text += verified.has_checkpoint()
                  ? ", " + std::to_string(verified.checkpoints()) + " checkpoints, the last of " +
                        time_text(verified.checkpoint())
                  : ", no checkpoint yet";
    }
    text += request.has_checkpoint() ? ", and all that your copy speaks for\n" : "\n";
  }
  TRY(answer(output, "strongroom.audit/1", verified, text));
  return verified.intact() ? cli::ExitStatus::kDone : cli::ExitStatus::kFoundProblem;
}

constexpr const char* kExamples = R"(Example:
  kbctl checkpoint --root broker-root.pem > kept.json        keep it where nobody of the broker can write
  kbctl audit --checkpoint kept.json --root broker-root.pem
A chain that was computed anew is a good chain. What it was when a checkpoint was signed, the checkpoint says.
)";

}  // namespace

cli::Command checkpoint_command() {
  return {.name = "checkpoint",
          .summary = "Write the newest signed checkpoint of the audit log, to keep (role auditor)",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            add_roots(app, *arguments);
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) { return checkpoint(*arguments, output); };
          }};
}

cli::Command audit_command() {
  return {.name = "audit",
          .summary =
              "Recompute the hash chains of the audit log, and compare them with the signed "
              "checkpoints on record and with one that you kept",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            auto* const subject = app.add_option("subject", *arguments->request.mutable_subject(),
                                                 "Of this VM or tenant only");
            auto* const copy = app.add_option("--checkpoint", arguments->checkpoint,
                                              "As `kbctl checkpoint` wrote it")
                                   ->type_name("FILE")
                                   ->excludes(subject);
            add_roots(app, *arguments);
            app.get_option("--root")->needs(copy);
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) { return audit(*arguments, output); };
          }};
}

}  // namespace tools::kbctl
