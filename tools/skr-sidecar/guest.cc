// SPDX-License-Identifier: Apache-2.0
#include "tools/skr-sidecar/guest.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/crypto/jwk.h"
#include "keybroker/evidence/bundle.h"
#include "keybroker/evidence/hcl_report.h"
#include "keybroker/protocol/extended_claims.h"
#include "keybroker/protocol/guest_attestation.h"
#include "keybroker/protocol/runtime_claims.h"
#include "keybroker/protocol/uuid.h"
#include "tools/attest/collection.h"
#include "tools/attest/guest_tpm.h"
#include "tools/cli/stream.h"
#include "tools/skr-sidecar/released_key.h"
#include "vmgs/base/log.h"
#include "vmgs/crypto/base64.h"
#include "vmgs/crypto/digest.h"

namespace tools::skr_sidecar {

namespace {

namespace json = boost::json;
namespace crypto = keybroker::crypto;
namespace evidence = keybroker::evidence;
using attest::GuestTpm;
using base::ErrorCode;
using vmgs::crypto::Base64;

constexpr std::size_t kMostAuthBytes = 64;

base::Result<GuestTpm> open_tpm(const GuestOptions& options) {
  TRY_ASSIGN(tpm, GuestTpm::open(options.tcti));
  if (!options.owner_auth.empty()) {
    TRY_ASSIGN(password, cli::read_input(options.owner_auth, kMostAuthBytes));
    TRY(tpm.use_owner_auth(password.expose()));
  }
  return tpm;
}

// The user data that the next report binds: 32 bytes, zeros behind them.
base::Result<void> write_user_data(GuestTpm& tpm, base::ByteView digest) {
  keybroker::protocol::UserData user_data{};
  std::ranges::copy(digest, user_data.begin());
  return tpm.write_user_data(user_data);
}

base::Result<std::string> text_of(const json::object& answer, const char* member) {
  const auto* found = answer.if_contains(member);
  if (found == nullptr || !found->is_string()) {
    return base::fail(ErrorCode::kCorrupt,
                      std::string("the broker's answer has no '") + member + "'");
  }
  return std::string(found->get_string());
}

}  // namespace

base::Result<void> Guest::is_ready() {
  TRY_ASSIGN(tpm, open_tpm(options_));
  TRY(tpm.read_index(attest::kReportIndex));
  return {};
}

base::Result<keybroker::protocol::Uuid> Guest::vm_id() {
  TRY_ASSIGN(tpm, open_tpm(options_));
  TRY_ASSIGN(content, tpm.read_index(attest::kExtendedClaimsIndex));
  std::string text(reinterpret_cast<const char*>(content.data()), content.size());
  text.resize(std::min(text.find('\0'), text.size()));
  TRY_ASSIGN(claims, keybroker::protocol::decode_extended_claims(text));
  return claims.vm_id;
}

base::Result<Guest::RawReport> Guest::raw_report(base::ByteView runtime_data) {
  TRY_ASSIGN(tpm, open_tpm(options_));
  TRY(write_user_data(tpm, vmgs::crypto::sha256(runtime_data)));
  TRY_ASSIGN(content, tpm.read_index(attest::kReportIndex));
  TRY_ASSIGN(report, evidence::decode_hcl_report(content));
  if (report.hardware_report.empty()) {
    return base::fail(ErrorCode::kNotFound, "this VM's report has no hardware report in it");
  }
  TRY_ASSIGN(claims, keybroker::protocol::decode_runtime_claims(report.claims));
  const auto digest = vmgs::crypto::sha256(runtime_data);
  if (!claims.user_data || !std::equal(digest.begin(), digest.end(), claims.user_data->begin())) {
    return base::fail(ErrorCode::kUnavailable,
                      "the TPM gave a report of before; ask again in some seconds");
  }
  return RawReport{std::move(report.hardware_report), std::move(report.claims)};
}

base::Result<std::string> Guest::token(const BrokerLink& broker, base::ByteView runtime_data) {
  TRY_ASSIGN(id, vm_id());
  TRY_ASSIGN(challenged,
             broker.post("/challenge", {{"vm_id", keybroker::protocol::uuid_text(id)}}));
  TRY_ASSIGN(challenge_text, text_of(challenged, "challenge"));
  TRY_ASSIGN(challenge, vmgs::crypto::decode_base64(challenge_text, Base64::kUrl));
  const auto commitment = keybroker::protocol::guest_commitment(challenge, runtime_data);

  TRY_ASSIGN(tpm, open_tpm(options_));
  TRY(write_user_data(tpm, commitment));
  attest::Collection wanted;
  wanted.nonce = base::copy_of(commitment);
  wanted.snp_certificates = options_.snp_certificates;
  wanted.event_log = options_.event_log;
  TRY_ASSIGN(collected, attest::collect_evidence(tpm, wanted, [](const std::string& line) {
               base::log(base::LogLevel::kDebug, line);
             }));
  TRY_ASSIGN(bundle, evidence::encode_bundle(collected));
  boost::system::error_code ignored;
  json::object request;
  request["challenge"] = challenge_text;
  request["runtime_data"] = vmgs::crypto::encode_base64(runtime_data, Base64::kUrl);
  request["evidence"] = json::parse(bundle, ignored);
  TRY_ASSIGN(answer, broker.post("/attest/guest", request));
  return text_of(answer, "token");
}

base::Result<json::object> Guest::key(const BrokerLink& attester, const BrokerLink& broker,
                                      const std::string& name) {
  TRY_ASSIGN(transfer_key, crypto::PrivateKey::generate_ec(crypto::Curve::kP384));
  const json::object runtime{{"keys", json::array{crypto::encode_jwk(transfer_key.public_key())}}};
  const auto runtime_text = json::serialize(runtime);
  TRY_ASSIGN(token_text, token(attester, base::bytes_of(runtime_text)));
  TRY_ASSIGN(released,
             broker.post("/keys/" + name + "/release?api-version=7.4", {{"target", token_text}}));
  TRY_ASSIGN(value, text_of(released, "value"));
  TRY_ASSIGN(keys, broker.get("/certs"));
  return open_released_key(value, keys, transfer_key, name);
}

}  // namespace tools::skr_sidecar
