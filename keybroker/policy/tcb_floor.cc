// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/tcb_floor.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/policy/claim_names.h"

namespace keybroker::policy {

namespace {

namespace json = boost::json;
using evidence::SnpProduct;
using evidence::TcbStatus;
using evidence::TcbVersion;

constexpr std::array kProducts{SnpProduct::kMilan, SnpProduct::kGenoa, SnpProduct::kTurin};

struct Component {
  std::string_view name;
  std::uint8_t TcbVersion::*value;
};

constexpr std::array kComponents{
    Component{"fmc", &TcbVersion::fmc}, Component{"boot_loader", &TcbVersion::boot_loader},
    Component{"tee", &TcbVersion::tee}, Component{"snp", &TcbVersion::snp},
    Component{"microcode", &TcbVersion::microcode}};

bool has(SnpProduct product, const Component& component) {
  return component.value != &TcbVersion::fmc ||
         evidence::tcb_form(product) == evidence::TcbForm::kTurin;
}

auto wrong(const std::string& path, const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument, path + " " + why);
}

base::Result<const json::object*> object_at(const json::value& value, const std::string& path) {
  if (!value.is_object() || value.get_object().empty()) {
    return wrong(path, "is no object with something in it");
  }
  return &value.get_object();
}

base::Result<std::uint64_t> number_at(const json::value& value, std::uint64_t most,
                                      const std::string& path) {
  json::error_code error;
  const auto number = value.is_double() ? 0 : value.to_number<std::uint64_t>(error);
  if (value.is_double() || !value.is_number() || error || number > most) {
    return wrong(path, "is no whole number from 0 to " + std::to_string(most));
  }
  return number;
}

base::Result<TcbVersion> decode_version(const json::value& value, SnpProduct product,
                                        const std::string& path) {
  TRY_ASSIGN(object, object_at(value, path));
  TcbVersion version;
  for (const auto& member : *object) {
    const auto inner = path + "." + std::string(member.key());
    const auto* component =
        std::ranges::find(kComponents, std::string_view(member.key()), &Component::name);
    if (component == kComponents.end() || !has(product, *component)) {
      return wrong(inner, "is no component of a TCB of " + std::string(evidence::name(product)));
    }
    TRY_ASSIGN(number, number_at(member.value(), 255, inner));
    version.*component->value = static_cast<std::uint8_t>(number);
  }
  return version;
}

base::Result<std::map<SnpProduct, TcbVersion>> decode_snp(const json::value& value,
                                                          const std::string& path) {
  TRY_ASSIGN(object, object_at(value, path));
  std::map<SnpProduct, TcbVersion> floors;
  for (const auto& member : *object) {
    const auto inner = path + "." + std::string(member.key());
    const auto product = evidence::parse_snp_product(member.key());
    if (!product) {
      return wrong(inner, "is none of Milan, Genoa and Turin");
    }
    TRY_ASSIGN(version, decode_version(member.value(), *product, inner));
    floors.emplace(*product, version);
  }
  return floors;
}

// texts_at() reads a list that is not empty, of strings of which none is there twice.
base::Result<std::set<std::string>> texts_at(const json::value& value, const std::string& path) {
  if (!value.is_array() || value.get_array().empty()) {
    return wrong(path, "is no list with something in it");
  }
  std::set<std::string> texts;
  for (const auto& each : value.get_array()) {
    if (!each.is_string() || !texts.emplace(each.get_string()).second) {
      return wrong(path, "has an entry that is no string, or is there twice");
    }
  }
  return texts;
}

base::Result<void> decode_tdx_member(std::string_view name, const json::value& value,
                                     const std::string& path, TdxFloor& floor) {
  if (name == "statuses") {
    TRY_ASSIGN(words, texts_at(value, path));
    floor.statuses.clear();
    for (const auto& word : words) {
      const auto status = evidence::parse_tcb_status(word);
      if (!status) {
        return wrong(path, "has a status that Intel does not have: '" + word + "'");
      }
      floor.statuses.insert(*status);
    }
    return {};
  }
  if (name == "min_date") {
    const auto date = crypto::parse_time(value.is_string() ? std::string_view(value.get_string())
                                                           : std::string_view());
    if (!date) {
      return wrong(path, "is no time as in \"2024-03-13T00:00:00Z\"");
    }
    floor.min_date = *date;
    return {};
  }
  if (name == "advisories") {
    if (value.is_string() && value.get_string() == "any") {
      floor.advisories.reset();
      return {};
    }
    TRY_ASSIGN(texts, texts_at(value, path));
    floor.advisories = std::move(texts);
    return {};
  }
  if (name == "min_evaluation_number") {
    TRY_ASSIGN(number, number_at(value, 0xFFFFFFFF, path));
    floor.min_evaluation_number = static_cast<std::uint32_t>(number);
    return {};
  }
  return wrong(path,
               "is none of statuses, min_date, advisories (a list or \"any\") and "
               "min_evaluation_number");
}

base::Result<TdxFloor> decode_tdx(const json::value& value, const std::string& path) {
  TRY_ASSIGN(object, object_at(value, path));
  TdxFloor floor;
  for (const auto& member : *object) {
    TRY(decode_tdx_member(member.key(), member.value(), path + "." + std::string(member.key()),
                          floor));
  }
  return floor;
}

json::object version_json(const TcbVersion& version, SnpProduct product) {
  json::object object;
  for (const auto& component : kComponents) {
    if (has(product, component)) {
      object[component.name] = version.*component.value;
    }
  }
  return object;
}

json::object tdx_json(const TdxFloor& floor) {
  json::object object;
  auto& statuses = object["statuses"].emplace_array();
  for (const auto status : floor.statuses) {
    statuses.emplace_back(evidence::name(status));
  }
  if (floor.min_date) {
    object["min_date"] = crypto::to_text(*floor.min_date);
  }
  if (!floor.advisories) {
    object["advisories"] = "any";
  } else if (!floor.advisories->empty()) {
    auto& advisories = object["advisories"].emplace_array();
    for (const auto& advisory : *floor.advisories) {
      advisories.emplace_back(advisory);
    }
  }
  if (floor.min_evaluation_number > 0) {
    object["min_evaluation_number"] = floor.min_evaluation_number;
  }
  return object;
}

std::string text_of(const json::value* value) {
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

// The first component of one TCB of the claims that does not reach the floor, in words.
std::optional<std::string> snp_shortfall(const TcbVersion& floor, SnpProduct product,
                                         std::string_view which, const ClaimSet& claims) {
  for (const auto& component : kComponents) {
    if (!has(product, component)) {
      continue;
    }
    const auto path =
        std::string(kSnpTcbClaim) + "." + std::string(which) + "." + std::string(component.name);
    const auto* value = claims.find(path);
    json::error_code error;
    const bool is_number = value != nullptr && value->is_number() && !value->is_double();
    const auto number = is_number ? value->to_number<std::uint64_t>(error) : 0;
    if (!is_number || error) {
      return path + " is missing or is no number";
    }
    const std::uint64_t least = floor.*component.value;
    if (number < least) {
      return path + " is " + std::to_string(number) + ", below " + std::to_string(least);
    }
  }
  return std::nullopt;
}

FloorVerdict judge_snp(const TcbFloor& floor, const ClaimSet& claims) {
  FloorVerdict verdict{.claim = std::string(kSnpTcbClaim), .expected = "a floor for its processor"};
  const auto* tcb = claims.find(kSnpTcbClaim);
  if (tcb == nullptr) {
    verdict.note = "the claim is missing";
    return verdict;
  }
  verdict.seen = json::serialize(*tcb);
  const auto word = text_of(claims.find(kSnpProductClaim));
  const auto product = evidence::parse_snp_product(word);
  if (!product || !floor.snp.contains(*product)) {
    verdict.note = "minTcb says nothing of SNP on " + (product ? word : "an unknown processor");
    return verdict;
  }
  const auto& least = floor.snp.at(*product);
  verdict.expected = word + " at least " + json::serialize(version_json(least, *product));
  for (const char* which : {"reported", "launch"}) {
    if (const auto shortfall = snp_shortfall(least, *product, which, claims)) {
      verdict.note = *shortfall;
      return verdict;
    }
  }
  verdict.reached = true;
  return verdict;
}

// Whether each advisory of the claims is one that the floor takes; the first that is not.
std::optional<std::string> refused_advisory(const TdxFloor& floor, const ClaimSet& claims) {
  if (!floor.advisories) {
    return std::nullopt;
  }
  const auto* list = claims.find(std::string(kTdxTcbClaim) + ".advisories");
  if (list == nullptr || !list->is_array()) {
    return "the advisories are missing";
  }
  for (const auto& each : list->get_array()) {
    if (!floor.advisories->contains(text_of(&each))) {
      return "advisory " + text_of(&each) + " is not accepted";
    }
  }
  return std::nullopt;
}

std::optional<std::string> tdx_shortfall(const TdxFloor& floor, const ClaimSet& claims) {
  const std::string prefix(kTdxTcbClaim);
  const auto status = evidence::parse_tcb_status(text_of(claims.find(prefix + ".status")));
  if (!status) {
    return "the status is missing";
  }
  if (!floor.statuses.contains(*status)) {
    return "status " + std::string(evidence::name(*status)) + " is not accepted";
  }
  if (floor.min_date) {
    const auto date = crypto::parse_time(text_of(claims.find(prefix + ".date")));
    if (!date || *date < *floor.min_date) {
      return "the TCB is of " + (date ? crypto::to_text(*date) : "no date") + ", before " +
             crypto::to_text(*floor.min_date);
    }
  }
  if (*status != TcbStatus::kUpToDate) {
    if (auto refused = refused_advisory(floor, claims)) {
      return refused;
    }
  }
  const auto* value = claims.find(prefix + ".evaluation_number");
  json::error_code error;
  const bool is_number = value != nullptr && value->is_number() && !value->is_double();
  const auto number = is_number ? value->to_number<std::uint64_t>(error) : 0;
  if (floor.min_evaluation_number > 0 &&
      (!is_number || error || number < floor.min_evaluation_number)) {
    return "the evaluation number is missing or below " +
           std::to_string(floor.min_evaluation_number);
  }
  return std::nullopt;
}

FloorVerdict judge_tdx(const TcbFloor& floor, const ClaimSet& claims) {
  FloorVerdict verdict{.claim = std::string(kTdxTcbClaim), .expected = "a floor for TDX"};
  const auto* tcb = claims.find(kTdxTcbClaim);
  if (tcb == nullptr) {
    verdict.note = "the claim is missing";
    return verdict;
  }
  verdict.seen = json::serialize(*tcb);
  if (!floor.tdx) {
    verdict.note = "minTcb says nothing of TDX";
    return verdict;
  }
  verdict.expected = "TDX at least " + json::serialize(tdx_json(*floor.tdx));
  const auto shortfall = tdx_shortfall(*floor.tdx, claims);
  verdict.reached = !shortfall;
  verdict.note = shortfall.value_or("");
  return verdict;
}

}  // namespace

base::Result<TcbFloor> decode_tcb_floor(const json::value& value, const std::string& path) {
  TRY_ASSIGN(object, object_at(value, path));
  TcbFloor floor;
  for (const auto& member : *object) {
    const auto inner = path + "." + std::string(member.key());
    if (member.key() == "snp") {
      TRY_ASSIGN(snp, decode_snp(member.value(), inner));
      floor.snp = std::move(snp);
    } else if (member.key() == "tdx") {
      TRY_ASSIGN(tdx, decode_tdx(member.value(), inner));
      floor.tdx = std::move(tdx);
    } else {
      return wrong(inner, "is neither snp nor tdx");
    }
  }
  return floor;
}

json::object to_json(const TcbFloor& floor) {
  json::object object;
  if (!floor.snp.empty()) {
    auto& snp = object["snp"].emplace_object();
    for (const auto product : kProducts) {
      if (const auto found = floor.snp.find(product); found != floor.snp.end()) {
        snp[evidence::name(product)] = version_json(found->second, product);
      }
    }
  }
  if (floor.tdx) {
    object["tdx"] = tdx_json(*floor.tdx);
  }
  return object;
}

FloorVerdict judge_floor(const TcbFloor& floor, const ClaimSet& claims) {
  const auto tee = text_of(claims.find(kTeeClaim));
  if (tee == protocol::name(protocol::TeeFamily::kSevSnp)) {
    return judge_snp(floor, claims);
  }
  if (tee == protocol::name(protocol::TeeFamily::kTdx)) {
    return judge_tdx(floor, claims);
  }
  FloorVerdict verdict{.claim = std::string(kTeeClaim), .expected = "a TEE with a floor"};
  if (!tee.empty()) {
    verdict.seen = tee;
  }
  verdict.note = "minTcb speaks of SNP and TDX only";
  return verdict;
}

}  // namespace keybroker::policy
