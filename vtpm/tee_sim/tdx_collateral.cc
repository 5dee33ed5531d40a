// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/tdx_collateral.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>

#include "vmgs/base/bytes.h"
#include "vtpm/tee_sim/tdx_mint.h"

namespace vtpm::tee_sim {

namespace {

namespace json = boost::json;

constexpr auto kWindow = std::chrono::days(30);

std::string upper_hex(base::ByteView bytes) {
  auto text = base::to_hex(bytes);
  std::ranges::transform(text, text.begin(), [](char digit) {
    return digit >= 'a' ? static_cast<char>(digit - 'a' + 'A') : digit;
  });
  return text;
}

json::array components_of(const SvnComponents& components) {
  json::array array;
  for (const auto svn : components) {
    array.push_back(json::object{{"svn", svn}});
  }
  return array;
}

// Advisories are left out where there are none, as Intel does.
template <typename Level>
json::object level_of(json::object tcb, const Level& level) {
  json::object object{
      {"tcb", std::move(tcb)}, {"tcbDate", level.date}, {"tcbStatus", level.status}};
  if (!level.advisories.empty()) {
    object["advisoryIDs"] = json::array(level.advisories.begin(), level.advisories.end());
  }
  return object;
}

json::array levels_of(const std::vector<IsvLevel>& levels) {
  json::array array;
  for (const auto& level : levels) {
    array.push_back(level_of({{"isvsvn", level.isv_svn}}, level));
  }
  return array;
}

// What a module must look like: the signer given, no attribute set.
json::object module_of(const keybroker::evidence::TdxDigest& mr_signer) {
  return {{"mrsigner", base::to_hex(mr_signer)},
          {"attributes", "0000000000000000"},
          {"attributesMask", "FFFFFFFFFFFFFFFF"}};
}

SvnComponents lowered(SvnComponents components) {
  for (auto& svn : components) {
    svn = static_cast<std::uint8_t>(svn == 0 ? 0 : svn - 1);
  }
  return components;
}

}  // namespace

TcbInfo tcb_info_for(const keybroker::crypto::SgxExtension& platform, const SvnComponents& tdx,
                     keybroker::crypto::Time issued) {
  TcbInfo info{.issued = issued,
               .next_update = issued + kWindow,
               .fmspc = platform.fmspc,
               .pce_id = platform.pce_id,
               .modules = {},
               .levels = {}};
  const auto& newest = platform.tcb.components;
  info.levels = {{.sgx = newest,
                  .pce_svn = platform.tcb.pce_svn,
                  .tdx = tdx,
                  .date = "2025-08-13T00:00:00Z",
                  .status = "UpToDate"},
                 {.sgx = lowered(newest),
                  .pce_svn = platform.tcb.pce_svn,
                  .tdx = lowered(tdx),
                  .date = "2024-11-13T00:00:00Z",
                  .status = "OutOfDate",
                  .advisories = {"INTEL-SA-00001"}},
                 {.sgx = {},
                  .pce_svn = 0,
                  .tdx = {},
                  .date = "2023-02-15T00:00:00Z",
                  .status = "Revoked",
                  .advisories = {"INTEL-SA-00001", "INTEL-SA-00002"}}};
  const unsigned module_svn = tdx[0];
  for (const auto* id : {"TDX_03", "TDX_01"}) {
    info.modules.push_back({.id = id,
                            .levels = {{module_svn, "2025-08-13T00:00:00Z", "UpToDate"},
                                       {module_svn == 0 ? 0 : module_svn - 1,
                                        "2024-11-13T00:00:00Z",
                                        "OutOfDate",
                                        {"INTEL-SA-00001"}}}});
  }
  return info;
}

QeIdentity qe_identity_for(keybroker::crypto::Time issued) {
  return {.issued = issued,
          .next_update = issued + kWindow,
          .mr_signer = simulated_qe_signer(),
          .levels = {{7, "2025-08-13T00:00:00Z", "UpToDate"},
                     {5, "2024-11-13T00:00:00Z", "OutOfDate", {"INTEL-SA-00001"}}}};
}

std::string to_json(const TcbInfo& info) {
  json::array modules;
  for (const auto& module : info.modules) {
    auto object = module_of(module.mr_signer);
    object["id"] = module.id;
    object["tcbLevels"] = levels_of(module.levels);
    modules.push_back(std::move(object));
  }
  json::array levels;
  for (const auto& level : info.levels) {
    levels.push_back(level_of({{"sgxtcbcomponents", components_of(level.sgx)},
                               {"pcesvn", level.pce_svn},
                               {"tdxtcbcomponents", components_of(level.tdx)}},
                              level));
  }
  return json::serialize(json::object{{"id", "TDX"},
                                      {"version", 3},
                                      {"issueDate", keybroker::crypto::to_text(info.issued)},
                                      {"nextUpdate", keybroker::crypto::to_text(info.next_update)},
                                      {"fmspc", base::to_hex(info.fmspc)},
                                      {"pceId", base::to_hex(info.pce_id)},
                                      {"tcbType", 0},
                                      {"tcbEvaluationDataNumber", info.evaluation},
                                      {"tdxModule", module_of({})},
                                      {"tdxModuleIdentities", std::move(modules)},
                                      {"tcbLevels", std::move(levels)}});
}

std::string to_json(const QeIdentity& identity) {
  return json::serialize(
      json::object{{"id", "TD_QE"},
                   {"version", 2},
                   {"issueDate", keybroker::crypto::to_text(identity.issued)},
                   {"nextUpdate", keybroker::crypto::to_text(identity.next_update)},
                   {"tcbEvaluationDataNumber", identity.evaluation},
                   {"miscselect", "00000000"},
                   {"miscselectMask", "FFFFFFFF"},
                   {"attributes", "11000000000000000000000000000000"},
                   {"attributesMask", "FBFFFFFFFFFFFFFF0000000000000000"},
                   {"mrsigner", upper_hex(identity.mr_signer)},
                   {"isvprodid", identity.isv_prod_id},
                   {"tcbLevels", levels_of(identity.levels)}});
}

}  // namespace vtpm::tee_sim
