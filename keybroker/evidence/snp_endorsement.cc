// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_endorsement.h"

#include "keybroker/crypto/der.h"

namespace keybroker::evidence {

namespace {

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "VCEK or VLEK certificate: " + why);
}

std::string amd_oid(const std::string& suffix) {
  return std::string(kAmdExtensionArc) + "." + suffix;
}

// read_spl() reads one security version, which may be absent only where the caller says so.
base::Result<std::optional<std::uint8_t>> read_spl(const crypto::Certificate& leaf,
                                                   const std::string& suffix) {
  TRY_ASSIGN(content, leaf.extension(amd_oid(suffix)));
  if (!content) {
    return std::nullopt;
  }
  TRY_ASSIGN(value, crypto::decode_der_integer(*content));
  if (value < 0 || value > 0xFF) {
    return corrupt("extension " + suffix + " is not between 0 and 255");
  }
  return static_cast<std::uint8_t>(value);
}

base::Result<std::uint8_t> require_spl(const crypto::Certificate& leaf, const std::string& suffix) {
  TRY_ASSIGN(spl, read_spl(leaf, suffix));
  if (!spl) {
    return corrupt("extension " + suffix + " is missing");
  }
  return *spl;
}

base::Result<void> check_reserved_spls(const crypto::Certificate& leaf, SnpProduct product) {
  for (const char* suffix : {"3.4", "3.5", "3.6", "3.7"}) {
    TRY_ASSIGN(spl, read_spl(leaf, suffix));
    // Turin's certificates have no 3.4.
    const bool may_lack = product == SnpProduct::kTurin && std::string_view(suffix) == "3.4";
    if (!spl && !may_lack) {
      return corrupt(std::string("extension ") + suffix + " is missing");
    }
    if (spl.value_or(0) != 0) {
      return corrupt(std::string("the reserved extension ") + suffix + " is not zero");
    }
  }
  return {};
}

}  // namespace

std::optional<SnpSigningKey> endorsement_kind(const crypto::Certificate& leaf) {
  const auto name = leaf.subject_common_name();
  if (name == "SEV-VCEK") {
    return SnpSigningKey::kVcek;
  }
  if (name == "SEV-VLEK") {
    return SnpSigningKey::kVlek;
  }
  return std::nullopt;
}

base::Result<SnpEndorsedTcb> decode_endorsed_tcb(const crypto::Certificate& leaf,
                                                 SnpProduct product) {
  SnpEndorsedTcb endorsed;
  TRY_ASSIGN(version, leaf.extension(amd_oid("1")));
  TRY_ASSIGN(product_name, leaf.extension(amd_oid("2")));
  if (!version || !product_name) {
    return corrupt("it does not name its structure and its product");
  }
  TRY_ASSIGN(structure_version, crypto::decode_der_integer(*version));
  TRY_ASSIGN(name, crypto::decode_der_ia5(*product_name));
  TRY_ASSIGN(boot_loader, require_spl(leaf, "3.1"));
  TRY_ASSIGN(tee, require_spl(leaf, "3.2"));
  TRY_ASSIGN(snp, require_spl(leaf, "3.3"));
  TRY_ASSIGN(microcode, require_spl(leaf, "3.8"));
  TRY_ASSIGN(fmc, read_spl(leaf, "3.9"));
  TRY(check_reserved_spls(leaf, product));
  if (fmc && product != SnpProduct::kTurin) {
    return corrupt("it names an FMC, which its product does not have");
  }
  endorsed.structure_version = structure_version;
  endorsed.product_name = name;
  endorsed.names_fmc = fmc.has_value();
  endorsed.tcb = {.fmc = fmc.value_or(0),
                  .boot_loader = boot_loader,
                  .tee = tee,
                  .snp = snp,
                  .microcode = microcode};
  return endorsed;
}

base::Result<SnpEndorsedIdentity> decode_endorsed_identity(const crypto::Certificate& leaf,
                                                           SnpProduct product, SnpSigningKey kind) {
  TRY_ASSIGN(hwid, leaf.extension(amd_oid("4")));
  TRY_ASSIGN(csp, leaf.extension(amd_oid("5")));
  const bool is_vcek = kind == SnpSigningKey::kVcek;
  if (hwid.has_value() != is_vcek || csp.has_value() == is_vcek) {
    return corrupt(is_vcek ? "a VCEK names a chip and no provider"
                           : "a VLEK names a provider and no chip");
  }
  if (!is_vcek) {
    TRY_ASSIGN(text, crypto::decode_der_ia5(*csp));
    return SnpEndorsedIdentity{std::nullopt, std::move(text)};
  }
  const std::size_t size = product == SnpProduct::kTurin ? 8 : 64;
  if (hwid->size() != size) {
    auto inner = crypto::decode_der_octets(*hwid);
    if (!inner || inner->size() != size) {
      return corrupt("its HWID is not " + std::to_string(size) + " bytes");
    }
    hwid = *std::move(inner);
  }
  return SnpEndorsedIdentity{std::move(hwid), std::nullopt};
}

}  // namespace keybroker::evidence
