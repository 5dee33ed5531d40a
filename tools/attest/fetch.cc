// SPDX-License-Identifier: Apache-2.0
#include "tools/attest/fetch.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <memory>

namespace tools::attest {

namespace {

constexpr std::size_t kMaxBody = 16 * 1024 * 1024;
constexpr long kMostSeconds = 60;

struct EasyFree {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

using Easy = std::unique_ptr<CURL, EasyFree>;

// libcurl stops a transfer whose callback does not take all.
std::size_t take_body(char* data, std::size_t, std::size_t size, void* to) {
  auto& body = static_cast<Fetched*>(to)->body;
  if (body.size() + size > kMaxBody) {
    return 0;
  }
  const auto bytes = std::as_bytes(std::span(data, size));
  body.insert(body.end(), bytes.begin(), bytes.end());
  return size;
}

std::size_t take_header(char* data, std::size_t, std::size_t size, void* to) {
  const std::string_view line(data, size);
  const auto colon = line.find(':');
  if (colon != std::string_view::npos) {
    std::string name(line.substr(0, colon));
    std::ranges::transform(name, name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    auto value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    value = value.substr(0, value.find_last_not_of(" \t\r\n") + 1);
    static_cast<Fetched*>(to)->headers[name] = value;
  }
  return size;
}

bool set_up(CURL* easy, const std::string& url, Fetched& answer) {
  const bool plain = url.starts_with("http://");
  return curl_easy_setopt(easy, CURLOPT_URL, url.c_str()) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https") == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_TIMEOUT, kMostSeconds) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_USERAGENT, "strongroom-attest") == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_HEADERDATA, &answer) == CURLE_OK;
}

base::Result<void> check_status(long status, const std::string& url, const Fetched& answer) {
  constexpr long kOk = 200;
  constexpr long kNotFound = 404;
  constexpr long kTooMany = 429;
  constexpr long kServerErrors = 500;
  if (status == kOk) {
    return {};
  }
  const auto text = url + " answers with status " + std::to_string(status);
  if (status == kNotFound) {
    return base::fail(base::ErrorCode::kNotFound, text);
  }
  if (status == kTooMany || status >= kServerErrors) {
    const auto later = answer.headers.find("retry-after");
    return base::fail(base::ErrorCode::kUnavailable,
                      text + (later == answer.headers.end()
                                  ? "; try again later"
                                  : "; try again after " + later->second + " (Retry-After)"));
  }
  return base::fail(base::ErrorCode::kIo, text);
}

}  // namespace

base::Result<Fetched> fetch(const std::string& url) {
  static const auto ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const Easy easy(curl_easy_init());
  Fetched answer;
  if (ready != CURLE_OK || !easy || !set_up(easy.get(), url, answer)) {
    return base::fail(base::ErrorCode::kIo, "libcurl cannot be set up for " + url);
  }
  if (const auto code = curl_easy_perform(easy.get()); code != CURLE_OK) {
    return base::fail(base::ErrorCode::kUnavailable, url + ": " + curl_easy_strerror(code));
  }
  long status = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  TRY(check_status(status, url, answer));
  return answer;
}

base::Result<std::string> percent_decoded(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out.push_back(text[at]);
      continue;
    }
    const auto byte = base::from_hex(std::string_view(text).substr(at + 1, 2));
    if (!byte || byte->size() != 1) {
      return base::fail(base::ErrorCode::kCorrupt, "a header has an escape that is none");
    }
    out.push_back(std::to_integer<char>(byte->front()));
    at += 2;
  }
  return out;
}

}  // namespace tools::attest
