// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/tdx_tcb.h"

#include <algorithm>

namespace keybroker::evidence {

namespace {

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

std::uint8_t at(const std::array<std::byte, 16>& svns, std::size_t index) {
  return std::to_integer<std::uint8_t>(svns.at(index));
}

template <std::size_t N>
bool equals_under(const std::array<std::byte, N>& value, const std::array<std::byte, N>& mask,
                  const std::array<std::byte, N>& expected) {
  for (std::size_t i = 0; i < N; ++i) {
    if ((value[i] & mask[i]) != expected[i]) {
      return false;
    }
  }
  return true;
}

std::optional<Finding> compare_qe(const QeReportLayout& report, const QeIdentity& identity) {
  constexpr auto kReason = Reason::kTdxQeMismatch;
  std::array<std::byte, 4> misc_select{};
  std::ranges::copy(base::view(report.misc_select), misc_select.begin());
  if (!equals_under(misc_select, identity.misc_select_mask, identity.misc_select)) {
    return found(kReason, "its MISCSELECT is not that of the QE identity");
  }
  if (!equals_under(report.attributes, identity.attributes_mask, identity.attributes)) {
    return found(kReason, "its ATTRIBUTES are not those of the QE identity");
  }
  if (report.mr_signer != identity.mr_signer) {
    return found(kReason, "its signer " + base::to_hex(report.mr_signer) +
                              " is not that of the QE identity");
  }
  if (report.isv_prod_id.value() != identity.isv_prod_id) {
    return found(kReason, "its product is not that of the QE identity");
  }
  return std::nullopt;
}

const IsvLevel* first_met(const std::vector<IsvLevel>& levels, std::uint16_t isv_svn) {
  const auto met =
      std::ranges::find_if(levels, [&](const IsvLevel& level) { return level.isv_svn <= isv_svn; });
  return met == levels.end() ? nullptr : &*met;
}

bool meets_sgx(const crypto::SgxTcb& pck, const PlatformLevel& level) {
  for (std::size_t i = 0; i < level.sgx.size(); ++i) {
    if (pck.components[i] < level.sgx[i]) {
      return false;
    }
  }
  return pck.pce_svn >= level.pce_svn;
}

bool meets_tdx(const std::array<std::byte, 16>& tee_tcb_svn, const PlatformLevel& level) {
  // Components 0 and 1 are the module, which has an identity of its own from version 1 on.
  for (std::size_t i = at(tee_tcb_svn, 1) > 0 ? 2 : 0; i < level.tdx.size(); ++i) {
    if (at(tee_tcb_svn, i) < level.tdx[i]) {
      return false;
    }
  }
  return true;
}

const ModuleIdentity* module_of(const TcbInfo& info, std::uint8_t version) {
  const auto found = std::ranges::find(info.modules, version, &ModuleIdentity::version);
  return found == info.modules.end() ? nullptr : &*found;
}

std::optional<Finding> compare_module(const TdQuoteBodyLayout& body, const ModuleSigner& signer) {
  if (body.mr_signer_seam != signer.mr_signer ||
      (body.seam_attributes.value() & signer.attributes_mask) != signer.attributes) {
    return found(Reason::kTdxModuleMismatch,
                 "the TDX module has another signer or other attributes than the TCB info says");
  }
  return std::nullopt;
}

// Whether the module that is loaded now is as new as the newest that the TCB info knows.
bool runs_newest_module(const std::array<std::byte, 16>& tee_tcb_svn2, const TcbInfo& info) {
  const auto& newest = info.levels.front();
  if (at(tee_tcb_svn2, 2) < newest.tdx[2]) {
    return false;
  }
  const auto version = at(tee_tcb_svn2, 1);
  if (version == 0) {
    return at(tee_tcb_svn2, 0) >= newest.tdx[0];
  }
  const auto* module = module_of(info, version);
  return module != nullptr && at(tee_tcb_svn2, 0) >= module->levels.front().isv_svn;
}

bool is_current(TcbStatus status) {
  return !is_out_of_date(status) && status != TcbStatus::kRevoked;
}

}  // namespace

MetLevel qe_level(const QeReportLayout& report, const QeIdentity& identity) {
  if (auto finding = compare_qe(report, identity)) {
    return {std::nullopt, std::move(finding)};
  }
  const auto* level = first_met(identity.levels, report.isv_svn.value());
  if (level == nullptr) {
    return {std::nullopt,
            found(Reason::kTdxQeUnsupported, "the quoting enclave has SVN " +
                                                 std::to_string(report.isv_svn.value()) +
                                                 ", which is below every level")};
  }
  return {level->verdict, std::nullopt};
}

PlatformLevels platform_levels(const crypto::SgxTcb& pck, const TdQuoteBodyLayout& body,
                               const TcbInfo& info) {
  PlatformLevels result;
  for (const auto& level : info.levels) {
    if (!meets_sgx(pck, level)) {
      continue;
    }
    if (!result.sgx) {
      result.sgx = level.verdict;
    }
    if (meets_tdx(body.tee_tcb_svn, level)) {
      result.tdx = level.verdict;
      return result;
    }
  }
  result.finding = found(Reason::kTdxTcbUnsupported,
                         result.sgx ? "the TDX components are below every TCB level that the "
                                      "processor meets"
                                    : "the processor's components are below every TCB level");
  return result;
}

MetLevel module_level(const TdQuoteBodyLayout& body, const TcbInfo& info) {
  const auto version = at(body.tee_tcb_svn, 1);
  if (version == 0) {
    auto finding = compare_module(body, info.module);
    return finding
               ? MetLevel{std::nullopt, std::move(finding)}
               : MetLevel{TcbVerdict{TcbStatus::kUpToDate, crypto::Time::max(), {}}, std::nullopt};
  }
  const auto* module = module_of(info, version);
  if (module == nullptr) {
    return {std::nullopt,
            found(Reason::kTdxModuleUnknown,
                  "no TDX module of version " + std::to_string(version) + " is in the TCB info")};
  }
  if (auto finding = compare_module(body, module->signer)) {
    return {std::nullopt, std::move(finding)};
  }
  const auto* level = first_met(module->levels, at(body.tee_tcb_svn, 0));
  if (level == nullptr) {
    return {std::nullopt,
            found(Reason::kTdxModuleUnsupported,
                  "the TDX module has SVN " + std::to_string(at(body.tee_tcb_svn, 0)) +
                      ", which is below every level of its version")};
  }
  return {level->verdict, std::nullopt};
}

TcbSummary summarise(const PlatformLevels& platform, const TcbVerdict& module, const TcbVerdict& qe,
                     const std::optional<TdQuoteBody15Layout>& body_15, const TcbInfo& info) {
  const auto& sgx = *platform.sgx;
  const auto& tdx = *platform.tdx;
  TcbSummary summary;
  const auto with_module = combine(tdx.status, module.status);
  summary.status = combine(with_module, qe.status);
  if (sgx.status == TcbStatus::kRevoked) {
    summary.status = TcbStatus::kRevoked;
  }
  // The TD was started under an old module and a new one is loaded by now: all that is out of date
  // is the launch.
  if (body_15 && is_out_of_date(with_module) && is_out_of_date(module.status) &&
      is_current(sgx.status) && is_current(qe.status) &&
      runs_newest_module(body_15->tee_tcb_svn2, info)) {
    summary.status = asks_for_configuration(sgx.status) || asks_for_configuration(with_module)
                         ? TcbStatus::kTdRelaunchAdvisedConfigurationNeeded
                         : TcbStatus::kTdRelaunchAdvised;
  }
  summary.date = std::min({tdx.date, module.date, qe.date});
  for (const auto* verdict : {&tdx, &module, &qe}) {
    summary.advisories.insert(summary.advisories.end(), verdict->advisories.begin(),
                              verdict->advisories.end());
  }
  std::ranges::sort(summary.advisories);
  summary.advisories.erase(std::unique(summary.advisories.begin(), summary.advisories.end()),
                           summary.advisories.end());
  return summary;
}

}  // namespace keybroker::evidence
