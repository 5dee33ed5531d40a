// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/vendor.h"

#include <algorithm>

#include "vtpm/tee_sim/quoting.h"
#include "vtpm/tee_sim/tdx_collateral.h"

namespace vtpm::tee_sim {

namespace {

using keybroker::crypto::Time;

constexpr std::chrono::days kCrlLife{365};

}  // namespace

base::Result<SnpMint> snp_mint_of(const MachineFolder& folder, SnpProduct product, Time now) {
  TRY_ASSIGN(bundle, folder.get_or_make("amd-" + std::string(name(product)) + ".pem",
                                        [&]() -> base::Result<base::SecretBytes> {
                                          TRY_ASSIGN(keys, SnpMint::Keys::generate());
                                          TRY_ASSIGN(mint, SnpMint::make(product, keys, now));
                                          return mint.to_bundle();
                                        }));
  return SnpMint::from_bundle(product, bundle.expose());
}

base::Result<TdxMint> tdx_mint_of(const MachineFolder& folder, Time now) {
  TRY_ASSIGN(bundle, folder.get_or_make("intel.pem", [&]() -> base::Result<base::SecretBytes> {
    TRY_ASSIGN(mint, TdxMint::make(now));
    return mint.to_bundle();
  }));
  return TdxMint::from_bundle(bundle.expose());
}

base::Result<SnpPublication> publish(const MachineFolder& folder, const SnpMachine& machine,
                                     Time now) {
  TRY_ASSIGN(mint, snp_mint_of(folder, machine.product, now));
  TRY_ASSIGN(secret, folder.secret());
  TRY_ASSIGN(key, vcek_key(secret, machine.chip_id,
                           encode_tcb(machine.reported, tcb_form(machine.product))));
  TRY_ASSIGN(
      vcek, mint.issue_by_ask(mint.vcek_spec(machine.chip_id, machine.reported), key.public_key()));
  TRY_ASSIGN(crl, mint.crl(now, now + kCrlLife));
  return SnpPublication{mint.ark(), mint.ask(), std::move(vcek), std::move(crl)};
}

base::Result<TdxPublication> publish(const MachineFolder& folder, const TdxMachine& machine,
                                     Time now) {
  TRY_ASSIGN(mint, tdx_mint_of(folder, now));
  SvnComponents tdx{};
  std::ranges::transform(machine.tee_tcb_svn, tdx.begin(),
                         [](std::byte svn) { return std::to_integer<std::uint8_t>(svn); });
  const auto info = to_json(tcb_info_for(sgx_platform_of(machine), tdx, now));
  TRY_ASSIGN(tcb_info, mint.sign_collateral("tcbInfo", info));
  const auto identity = to_json(qe_identity_for(now));
  TRY_ASSIGN(qe_identity, mint.sign_collateral("enclaveIdentity", identity));
  TRY_ASSIGN(root_crl, mint.root_crl(now, now + kCrlLife));
  TRY_ASSIGN(platform_crl, mint.pck_crl(PckCa::kPlatform, now, now + kCrlLife));
  TRY_ASSIGN(processor_crl, mint.pck_crl(PckCa::kProcessor, now, now + kCrlLife));
  return TdxPublication{
      mint.root(),         mint.tcb_signer(),       std::move(tcb_info),     std::move(qe_identity),
      std::move(root_crl), std::move(platform_crl), std::move(processor_crl)};
}

}  // namespace vtpm::tee_sim
