// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>

#include "keybroker/evidence/verify.h"
#include "tests/support/simulated_guest.h"
#include "tests/support/simulated_mints.h"
#include "vtpm/tee_sim/tdx_collateral.h"
#include "vtpm/tee_sim/tdx_mint.h"

// A TD on simulated hardware and what Intel would say of its platform, as the tests of attacks on
// them take them.
namespace tests::integration {

namespace crypto = keybroker::crypto;
namespace sim = vtpm::tee_sim;
using namespace keybroker::evidence;
using support::mint_begin;
using support::reason;
using support::tdx_mint;

inline constexpr auto kMonth = std::chrono::days(30);

inline crypto::SgxExtension platform() {
  crypto::SgxExtension platform;
  platform.tcb.components.fill(4);
  platform.tcb.pce_svn = 13;
  platform.fmspc = {std::byte{'S'}, std::byte{'I'}, std::byte{'M'}};
  platform.type = crypto::SgxType::kScalable;
  platform.platform_instance_id.emplace();
  platform.configuration =
      crypto::SgxConfiguration{.dynamic_platform = true, .cached_keys = true, .smt_enabled = true};
  return platform;
}

inline constexpr sim::SvnComponents kTdxSvn{5, 1, 4};

// A TD, its platform and what Intel says of it.
struct TdCase {
  TdCase() {
    std::ranges::transform(kTdxSvn, quote.body.tee_tcb_svn.begin(),
                           [](std::uint8_t svn) { return std::byte{svn}; });
    quote.body.attributes = 0x10000000;
    quote.body.xfam = 0x602E7;
    quote.body.mr_td.fill(std::byte{0x3D});
    enclave = *sim::make_quoting_enclave(tdx_mint(), sim::PckCa::kPlatform, platform(),
                                         support::mint_secret());
    policy.report_data = Expectation::any();
    policy.tdx.mr_td = Expectation::one_of({base::copy_of(quote.body.mr_td)});
    root_crl = *tdx_mint().root_crl(mint_begin(), mint_begin() + kMonth);
    pck_crl = *tdx_mint().pck_crl(sim::PckCa::kPlatform, mint_begin(), mint_begin() + kMonth);
  }

  [[nodiscard]] base::Bytes bytes() const {
    auto made = quote;
    if (!sim::sign_quote(made, *enclave)) {
      std::abort();
    }
    return encode(made);
  }

  [[nodiscard]] Collateral collateral() const {
    Collateral collateral;
    const auto add = [](std::vector<SignedDocument>& to, const std::string& name,
                        const std::string& body) {
      // What cannot be read strictly is not even kept.
      if (auto document = decode_signed_document(*tdx_mint().sign_collateral(name, body), name)) {
        to.push_back(*std::move(document));
      }
    };
    add(collateral.tdx.tcb_infos, "tcbInfo",
        tcb_info_text.empty() ? to_json(tcb_info) : tcb_info_text);
    add(collateral.tdx.qe_identities, "enclaveIdentity",
        qe_identity_text.empty() ? to_json(qe_identity) : qe_identity_text);
    collateral.tdx.signers = {tdx_mint().tcb_signer(), tdx_mint().root()};
    for (const auto* crl : {&root_crl, &pck_crl}) {
      if (*crl) {
        collateral.tdx.crls.push_back(**crl);
      }
    }
    return collateral;
  }

  [[nodiscard]] std::string judged_as(const base::Bytes& its_bytes,
                                      crypto::Time now = mint_begin()) const {
    Evidence evidence;
    evidence.td_quote = its_bytes;
    evidence.cc_event_log = cc_event_log;
    const std::array roots{SlottedRoot{RootSlot::kIntelSgx, tdx_mint().root()}};
    return reason(verify(evidence, policy, collateral(), *TrustStore::simulated(roots), now));
  }

  [[nodiscard]] std::string judged() const { return judged_as(bytes()); }

  TdQuote quote;
  std::optional<sim::QuotingEnclave> enclave;
  Policy policy;
  sim::TcbInfo tcb_info = sim::tcb_info_for(platform(), kTdxSvn, mint_begin());
  std::string tcb_info_text;  // in place of what `tcb_info` gives
  sim::QeIdentity qe_identity = sim::qe_identity_for(mint_begin());
  std::string qe_identity_text;  // the same
  std::optional<base::Bytes> cc_event_log;
  std::optional<crypto::Crl> root_crl;
  std::optional<crypto::Crl> pck_crl;
};

template <typename Change>
std::string with(Change change) {
  TdCase input;
  change(input);
  return input.judged();
}

}  // namespace tests::integration
