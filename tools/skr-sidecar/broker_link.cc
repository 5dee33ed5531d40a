// SPDX-License-Identifier: Apache-2.0
#include "tools/skr-sidecar/broker_link.h"

#include <curl/curl.h>

#include <boost/json/serialize.hpp>
#include <memory>

#include "keybroker/protocol/strict_json.h"

namespace tools::skr_sidecar {

namespace {

namespace json = boost::json;
using base::ErrorCode;

constexpr std::size_t kMostAnswerBytes = 256 * 1024;
constexpr long kMostSeconds = 30;
constexpr long kOk = 200;
constexpr long kBadRequest = 400;
constexpr long kForbidden = 403;

struct EasyFree {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

struct ListFree {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

using Easy = std::unique_ptr<CURL, EasyFree>;
using List = std::unique_ptr<curl_slist, ListFree>;

// libcurl stops a transfer whose callback does not take all.
std::size_t take(char* data, std::size_t, std::size_t size, void* to) {
  auto& body = *static_cast<std::string*>(to);
  if (body.size() + size > kMostAnswerBytes) {
    return 0;
  }
  body.append(data, size);
  return size;
}

bool set_up(CURL* easy, const std::string& url, const std::string& authorities, curl_slist* headers,
            const std::string* body, std::string& answer) {
  const auto is_set = [easy](CURLoption option, auto value) {
    return curl_easy_setopt(easy, option, value) == CURLE_OK;
  };
  bool good = is_set(CURLOPT_URL, url.c_str()) && is_set(CURLOPT_PROTOCOLS_STR, "https") &&
              is_set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_3}) &&
              is_set(CURLOPT_CAINFO, authorities.c_str()) &&
              is_set(CURLOPT_CAPATH, static_cast<const char*>(nullptr)) &&
              is_set(CURLOPT_NOSIGNAL, 1L) && is_set(CURLOPT_TIMEOUT, kMostSeconds) &&
              is_set(CURLOPT_PROXY, "") && is_set(CURLOPT_USERAGENT, "strongroom-skr-sidecar") &&
              is_set(CURLOPT_WRITEFUNCTION, take) && is_set(CURLOPT_WRITEDATA, &answer);
  if (good && body != nullptr) {
    good = is_set(CURLOPT_HTTPHEADER, headers) && is_set(CURLOPT_POSTFIELDS, body->c_str()) &&
           is_set(CURLOPT_POSTFIELDSIZE, static_cast<long>(body->size()));
  }
  return good;
}

// What a broker says with its no, or the body as far as it is worth showing.
std::string reason_in(const base::Result<json::value>& answer) {
  const auto* error =
      answer && answer->is_object() ? answer->get_object().if_contains("error") : nullptr;
  if (error == nullptr || !error->is_object()) {
    return "an answer that is none of its protocol";
  }
  const auto code = keybroker::protocol::text_member(error->get_object(), "code");
  const auto message = keybroker::protocol::text_member(error->get_object(), "message");
  return (code ? *code : "no code") + ": " + (message ? *message : "no message");
}

}  // namespace

base::Result<json::object> BrokerLink::post(const std::string& path,
                                            const json::object& request) const {
  const auto body = json::serialize(request);
  return ask(path, &body);
}

base::Result<json::object> BrokerLink::get(const std::string& path) const {
  return ask(path, nullptr);
}

base::Result<json::object> BrokerLink::ask(const std::string& path, const std::string* body) const {
  static const auto ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const Easy easy(curl_easy_init());
  const List headers(curl_slist_append(nullptr, "Content-Type: application/json"));
  const auto url = url_ + path;
  std::string answered;
  if (ready != CURLE_OK || !easy || !headers ||
      !set_up(easy.get(), url, authorities_, headers.get(), body, answered)) {
    return base::fail(ErrorCode::kIo, "libcurl cannot be set up for " + url);
  }
  if (const auto code = curl_easy_perform(easy.get()); code != CURLE_OK) {
    return base::fail(ErrorCode::kUnavailable, url + ": " + curl_easy_strerror(code));
  }
  long status = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  auto answer = keybroker::protocol::parse_json(answered, kMostAnswerBytes);
  if (status != kOk) {
    const auto code = status == kForbidden    ? ErrorCode::kDenied
                      : status == kBadRequest ? ErrorCode::kInvalidArgument
                                              : ErrorCode::kUnavailable;
    return base::fail(code, url + " answers " + std::to_string(status) + ", " + reason_in(answer));
  }
  if (!answer || !answer->is_object()) {
    return base::fail(ErrorCode::kCorrupt, url + " gives no JSON object");
  }
  return std::move(answer->get_object());
}

}  // namespace tools::skr_sidecar
