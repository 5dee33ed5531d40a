// SPDX-License-Identifier: Apache-2.0
#include "tools/skr-sidecar/face.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <initializer_list>

#include "keybroker/protocol/strict_json.h"
#include "vmgs/base/log.h"
#include "vmgs/crypto/base64.h"

namespace tools::skr_sidecar {

namespace {

namespace json = boost::json;
namespace protocol = keybroker::protocol;
using base::ErrorCode;
using vmgs::crypto::Base64;

constexpr unsigned kBadRequest = 400;
constexpr unsigned kForbidden = 403;
constexpr std::size_t kMostNameBytes = 127;

FaceAnswer answer(const json::object& object) { return {200, json::serialize(object)}; }

FaceAnswer error(unsigned status, const std::string& text) {
  json::object object;
  object["error"] = text;
  return {status, json::serialize(object)};
}

FaceAnswer bad_request(const base::Error& why) { return error(kBadRequest, why.message); }

FaceAnswer failed(std::string_view what, const base::Error& why) {
  base::log(base::LogLevel::kWarning, std::string(what) + ": " + why.message);
  return error(kForbidden, why.message);
}

// object_of() reads a request whose members are all of `names`.
base::Result<json::object> object_of(std::string_view request,
                                     std::initializer_list<std::string_view> names) {
  TRY_ASSIGN(value, protocol::parse_json(request, kMostRequestBytes));
  if (!value.is_object()) {
    return base::fail(ErrorCode::kInvalidArgument, "the request is no JSON object");
  }
  TRY(protocol::expect_only(value.get_object(), names));
  return std::move(value.get_object());
}

base::Result<base::Bytes> runtime_data_of(const json::object& request) {
  TRY_ASSIGN(text, protocol::text_member(request, "runtime_data"));
  auto bytes = vmgs::crypto::decode_base64(text, Base64::kPadded);
  if (!bytes) {
    return base::fail(ErrorCode::kInvalidArgument, "the member 'runtime_data' is not base64");
  }
  return bytes;
}

std::string without_slash(std::string text) {
  while (text.ends_with('/')) {
    text.pop_back();
  }
  return text;
}

// A name goes into a path as it is, so it has nothing in it that a path would understand.
bool is_key_name(std::string_view name) {
  const auto is_plain = [](char character) {
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9') || character == '-';
  };
  return !name.empty() && name.size() <= kMostNameBytes && std::ranges::all_of(name, is_plain);
}

}  // namespace

base::Result<const BrokerLink*> Face::broker(const std::string& endpoint) const {
  const auto wanted = without_slash(endpoint);
  // Azure's clients name hosts without a scheme.
  const auto is_it = [&wanted](const BrokerLink& link) {
    return link.url() == wanted || link.url() == "https://" + wanted;
  };
  const auto found = std::ranges::find_if(brokers_, is_it);
  if (found == brokers_.end()) {
    return base::fail(ErrorCode::kDenied, "'" + endpoint + "' is no broker of this sidecar's");
  }
  return &*found;
}

FaceAnswer Face::status() {
  const auto ready = guest_.is_ready();
  if (!ready) {
    base::log(base::LogLevel::kWarning, "not ready: " + ready.error().message);
  }
  json::object object;
  object["message"] = ready ? "Status OK" : "Status NOT OK";
  return answer(object);
}

FaceAnswer Face::attest_raw(std::string_view request) {
  const auto asked = object_of(request, {"runtime_data"});
  if (!asked) {
    return bad_request(asked.error());
  }
  const auto runtime_data = runtime_data_of(*asked);
  if (!runtime_data) {
    return bad_request(runtime_data.error());
  }
  const auto report = guest_.raw_report(*runtime_data);
  if (!report) {
    return failed("attest/raw", report.error());
  }
  json::object object;
  object["report"] = base::to_hex(report->report);
  object["claims"] = vmgs::crypto::encode_base64(base::bytes_of(report->claims), Base64::kPadded);
  return answer(object);
}

FaceAnswer Face::attest_maa(std::string_view request) {
  const auto asked = object_of(request, {"maa_endpoint", "runtime_data"});
  if (!asked) {
    return bad_request(asked.error());
  }
  const auto runtime_data = runtime_data_of(*asked);
  const auto endpoint = protocol::text_member(*asked, "maa_endpoint");
  if (!runtime_data || !endpoint) {
    return bad_request(runtime_data ? endpoint.error() : runtime_data.error());
  }
  const auto attester = broker(*endpoint);
  if (!attester) {
    return failed("attest/maa", attester.error());
  }
  auto token = guest_.token(**attester, *runtime_data);
  if (!token) {
    return failed("attest/maa", token.error());
  }
  json::object object;
  object["token"] = *std::move(token);
  return answer(object);
}

FaceAnswer Face::key_release(std::string_view request) {
  const auto asked = object_of(request, {"maa_endpoint", "akv_endpoint", "kid", "access_token"});
  if (!asked) {
    return bad_request(asked.error());
  }
  const auto attester_name = protocol::text_member(*asked, "maa_endpoint");
  const auto keeper_name = protocol::text_member(*asked, "akv_endpoint");
  const auto kid = protocol::text_member(*asked, "kid");
  if (!attester_name || !keeper_name || !kid) {
    return bad_request(!attester_name ? attester_name.error()
                       : !keeper_name ? keeper_name.error()
                                      : kid.error());
  }
  if (!is_key_name(*kid)) {
    return bad_request({ErrorCode::kInvalidArgument,
                        "the member 'kid' is not 1 to 127 letters, digits and hyphens"});
  }
  const auto attester = broker(*attester_name);
  const auto keeper = broker(*keeper_name);
  if (!attester || !keeper) {
    return failed("key/release", attester ? keeper.error() : attester.error());
  }
  auto key = guest_.key(**attester, **keeper, *kid);
  if (!key) {
    return failed("key/release", key.error());
  }
  json::object object;
  object["key"] = *std::move(key);
  return answer(object);
}

}  // namespace tools::skr_sidecar
