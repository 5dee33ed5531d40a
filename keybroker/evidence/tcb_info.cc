// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/tcb_info.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <tuple>

#include "keybroker/evidence/signed_document.h"
#include "keybroker/protocol/strict_json.h"
#include "vmgs/base/layout.h"

namespace keybroker::evidence {

namespace {

namespace json = boost::json;
using protocol::array_member;
using protocol::hex_member;
using protocol::number_member;
using protocol::object_member;
using protocol::text_member;

auto corrupt(const std::string& why) { return base::fail(base::ErrorCode::kCorrupt, why); }

template <std::size_t N>
base::Result<std::array<std::byte, N>> bytes_member(const json::object& object,
                                                    std::string_view name) {
  TRY_ASSIGN(bytes, hex_member(object, name, N));
  std::array<std::byte, N> result{};
  std::ranges::copy(bytes, result.begin());
  return result;
}

// The attributes of a module are written in the order of their bytes in memory.
base::Result<std::uint64_t> attributes_member(const json::object& object, std::string_view name) {
  TRY_ASSIGN(bytes, bytes_member<8>(object, name));
  return base::load<base::U64Le>(bytes).value();
}

base::Result<crypto::Time> time_member(const json::object& object, std::string_view name) {
  TRY_ASSIGN(text, text_member(object, name));
  const auto time = crypto::parse_time(text);
  return time ? base::Result<crypto::Time>(*time) : corrupt(time.error().message);
}

base::Result<const json::object*> as_object(const json::value& value) {
  if (!value.is_object()) {
    return corrupt("an element of a list is no object");
  }
  return &value.get_object();
}

base::Result<TcbVerdict> read_verdict(const json::object& level) {
  TcbVerdict verdict;
  TRY_ASSIGN(text, text_member(level, "tcbStatus"));
  const auto status = parse_document_status(text);
  if (!status) {
    return corrupt("the TCB status '" + text.substr(0, 40) + "' is not known here");
  }
  TRY_ASSIGN(date, time_member(level, "tcbDate"));
  verdict.status = *status;
  verdict.date = date;
  if (level.contains("advisoryIDs")) {
    TRY_ASSIGN(advisories, array_member(level, "advisoryIDs"));
    for (const auto& advisory : *advisories) {
      if (!advisory.is_string()) {
        return corrupt("an advisory is no string");
      }
      verdict.advisories.emplace_back(advisory.get_string());
    }
  }
  return verdict;
}

base::Result<Svns> read_svns(const json::object& tcb, std::string_view name) {
  TRY_ASSIGN(components, array_member(tcb, name));
  Svns svns{};
  if (components->size() != svns.size()) {
    return corrupt("'" + std::string(name) + "' has " + std::to_string(components->size()) +
                   " components, expected 16");
  }
  for (std::size_t i = 0; i < svns.size(); ++i) {
    TRY_ASSIGN(component, as_object((*components)[i]));
    TRY_ASSIGN(svn, number_member(*component, "svn", 0xFF));
    svns[i] = static_cast<std::uint8_t>(svn);
  }
  return svns;
}

base::Result<PlatformLevel> read_platform_level(const json::value& value) {
  TRY_ASSIGN(object, as_object(value));
  TRY_ASSIGN(tcb, object_member(*object, "tcb"));
  TRY_ASSIGN(sgx, read_svns(*tcb, "sgxtcbcomponents"));
  TRY_ASSIGN(tdx, read_svns(*tcb, "tdxtcbcomponents"));
  TRY_ASSIGN(pce_svn, number_member(*tcb, "pcesvn", 0xFFFF));
  TRY_ASSIGN(verdict, read_verdict(*object));
  return PlatformLevel{sgx, static_cast<std::uint16_t>(pce_svn), tdx, std::move(verdict)};
}

// The order of a document is nobody's promise, so the newest level is found by its versions.
base::Result<std::vector<PlatformLevel>> read_platform_levels(const json::object& body) {
  TRY_ASSIGN(array, array_member(body, "tcbLevels"));
  std::vector<PlatformLevel> levels;
  for (const auto& value : *array) {
    TRY_ASSIGN(level, read_platform_level(value));
    levels.push_back(std::move(level));
  }
  if (levels.empty()) {
    return corrupt("there is no TCB level");
  }
  std::ranges::stable_sort(levels, [](const PlatformLevel& a, const PlatformLevel& b) {
    return std::tie(a.sgx, a.pce_svn, a.tdx) > std::tie(b.sgx, b.pce_svn, b.tdx);
  });
  return levels;
}

base::Result<std::vector<IsvLevel>> read_isv_levels(const json::object& object) {
  TRY_ASSIGN(array, array_member(object, "tcbLevels"));
  std::vector<IsvLevel> levels;
  for (const auto& value : *array) {
    TRY_ASSIGN(level, as_object(value));
    TRY_ASSIGN(tcb, object_member(*level, "tcb"));
    TRY_ASSIGN(isv_svn, number_member(*tcb, "isvsvn", 0xFFFF));
    TRY_ASSIGN(verdict, read_verdict(*level));
    levels.push_back({static_cast<std::uint16_t>(isv_svn), std::move(verdict)});
  }
  if (levels.empty()) {
    return corrupt("there is no TCB level");
  }
  std::ranges::stable_sort(levels, std::greater(), &IsvLevel::isv_svn);
  return levels;
}

base::Result<ModuleSigner> read_module_signer(const json::object& object) {
  TRY_ASSIGN(mr_signer, bytes_member<48>(object, "mrsigner"));
  TRY_ASSIGN(attributes, attributes_member(object, "attributes"));
  TRY_ASSIGN(mask, attributes_member(object, "attributesMask"));
  return ModuleSigner{mr_signer, attributes, mask};
}

// "TDX_" and two hexadecimal digits.
std::optional<std::uint8_t> module_version(std::string_view id) {
  constexpr std::string_view kPrefix = "TDX_";
  if (!id.starts_with(kPrefix)) {
    return std::nullopt;
  }
  const auto digits = base::from_hex(id.substr(kPrefix.size()));
  if (!digits || digits->size() != 1) {
    return std::nullopt;
  }
  return std::to_integer<std::uint8_t>(digits->front());
}

base::Result<std::vector<ModuleIdentity>> read_modules(const json::object& body) {
  std::vector<ModuleIdentity> modules;
  if (!body.contains("tdxModuleIdentities")) {
    return modules;
  }
  TRY_ASSIGN(array, array_member(body, "tdxModuleIdentities"));
  for (const auto& value : *array) {
    TRY_ASSIGN(object, as_object(value));
    TRY_ASSIGN(id, text_member(*object, "id"));
    const auto version = module_version(id);
    if (!version) {
      return corrupt("a TDX module has no id of a module");
    }
    TRY_ASSIGN(signer, read_module_signer(*object));
    TRY_ASSIGN(levels, read_isv_levels(*object));
    if (std::ranges::find(modules, *version, &ModuleIdentity::version) != modules.end()) {
      return corrupt("the same TDX module is there twice");
    }
    modules.push_back({*version, signer, std::move(levels)});
  }
  return modules;
}

// open() reads a body as far as to tell whether it is a document of the kind that was asked for.
base::Result<json::object> open(std::string_view body, std::string_view id, std::uint64_t version) {
  TRY_ASSIGN(value, protocol::parse_json(body, kMaxDocumentBytes));
  if (!value.is_object()) {
    return corrupt("it is no object");
  }
  auto& object = value.get_object();
  TRY_ASSIGN(its_id, text_member(object, "id"));
  TRY_ASSIGN(its_version, number_member(object, "version", 0xFFFF));
  if (its_id != id || its_version != version) {
    return base::fail(base::ErrorCode::kNotFound,
                      "it is for '" + its_id.substr(0, 40) + "' in version " +
                          std::to_string(its_version) + ", expected '" + std::string(id) +
                          "' in version " + std::to_string(version));
  }
  return std::move(object);
}

base::Result<TcbInfo> read_tcb_info(std::string_view body) {
  TRY_ASSIGN(object, open(body, "TDX", 3));
  TcbInfo info;
  TRY_ASSIGN(issued, time_member(object, "issueDate"));
  TRY_ASSIGN(next_update, time_member(object, "nextUpdate"));
  TRY_ASSIGN(fmspc, bytes_member<6>(object, "fmspc"));
  TRY_ASSIGN(pce_id, bytes_member<2>(object, "pceId"));
  TRY(number_member(object, "tcbType", 0));
  TRY_ASSIGN(evaluation, number_member(object, "tcbEvaluationDataNumber", 0xFFFFFFFF));
  TRY_ASSIGN(module, object_member(object, "tdxModule"));
  TRY_ASSIGN(signer, read_module_signer(*module));
  TRY_ASSIGN(modules, read_modules(object));
  TRY_ASSIGN(levels, read_platform_levels(object));
  info.issued = issued;
  info.next_update = next_update;
  info.fmspc = fmspc;
  info.pce_id = pce_id;
  info.evaluation_number = static_cast<std::uint32_t>(evaluation);
  info.module = signer;
  info.modules = std::move(modules);
  info.levels = std::move(levels);
  return info;
}

base::Result<QeIdentity> read_qe_identity(std::string_view body) {
  TRY_ASSIGN(object, open(body, "TD_QE", 2));
  QeIdentity identity;
  TRY_ASSIGN(issued, time_member(object, "issueDate"));
  TRY_ASSIGN(next_update, time_member(object, "nextUpdate"));
  TRY_ASSIGN(evaluation, number_member(object, "tcbEvaluationDataNumber", 0xFFFFFFFF));
  TRY_ASSIGN(misc_select, bytes_member<4>(object, "miscselect"));
  TRY_ASSIGN(misc_select_mask, bytes_member<4>(object, "miscselectMask"));
  TRY_ASSIGN(attributes, bytes_member<16>(object, "attributes"));
  TRY_ASSIGN(attributes_mask, bytes_member<16>(object, "attributesMask"));
  TRY_ASSIGN(mr_signer, bytes_member<32>(object, "mrsigner"));
  TRY_ASSIGN(isv_prod_id, number_member(object, "isvprodid", 0xFFFF));
  TRY_ASSIGN(levels, read_isv_levels(object));
  identity.issued = issued;
  identity.next_update = next_update;
  identity.evaluation_number = static_cast<std::uint32_t>(evaluation);
  identity.misc_select = misc_select;
  identity.misc_select_mask = misc_select_mask;
  identity.attributes = attributes;
  identity.attributes_mask = attributes_mask;
  identity.mr_signer = mr_signer;
  identity.isv_prod_id = static_cast<std::uint16_t>(isv_prod_id);
  identity.levels = std::move(levels);
  return identity;
}

}  // namespace

base::Result<TcbInfo> decode_tcb_info(std::string_view body) {
  auto info = read_tcb_info(body);
  return info ? std::move(info) : base::fail(std::move(info).error().context("TCB info"));
}

base::Result<QeIdentity> decode_qe_identity(std::string_view body) {
  auto identity = read_qe_identity(body);
  return identity ? std::move(identity)
                  : base::fail(std::move(identity).error().context("QE identity"));
}

}  // namespace keybroker::evidence
