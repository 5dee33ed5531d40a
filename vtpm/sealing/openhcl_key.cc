// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/openhcl_key.h"

#include <span>
#include <string>

#include "vmgs/crypto/aes_cbc.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/kdf.h"
#include "vmgs/crypto/random.h"
#include "vmgs/format/hw_key_protector.h"

namespace vtpm::sealing {

namespace {

using vmgs::format::HwKeyProtector;

struct ProtectorKeys {
  vmgs::crypto::CbcKey cipher;
  base::Secret<32> mac;
};

// One derivation of 64 bytes: the AES key, then the HMAC key.
base::Result<ProtectorKeys> derive_keys(tee::Tee& tee, const HwKeyProtector& protector,
                                        std::string_view vm_configuration) {
  const auto scheme =
      protector.mix_measurement ? tee::KeyScheme::kOpenHclHash : tee::KeyScheme::kOpenHclSigner;
  TRY_ASSIGN(tee_key, tee.derive_key({.scheme = scheme, .svn = protector.svn}));
  TRY_ASSIGN(both, vmgs::crypto::derive<64>(tee_key.expose(), base::bytes_of("ISOHWKEY"),
                                            base::bytes_of(vm_configuration)));
  return ProtectorKeys{vmgs::crypto::CbcKey::copy_of(both.expose().first<32>()),
                       base::Secret<32>::copy_of(both.expose().last<32>())};
}

vmgs::crypto::Sha256Digest mac_of(const HwKeyProtector& protector, const base::Secret<32>& key) {
  const auto bytes = encode(protector);
  return vmgs::crypto::hmac_sha256(
      key.expose(), base::ByteView(bytes).first(bytes.size() - protector.hmac.size()));
}

}  // namespace

base::Result<DatastoreKey> open_hw_key_protector(base::ByteView protector, tee::Tee& tee,
                                                 std::string_view vm_configuration) {
  TRY_ASSIGN(decoded, vmgs::format::decode_hw_key_protector(protector));
  TRY_ASSIGN(report, tee.own_report());
  const bool here_tdx = report.family == tee::TeeFamily::kTdx;
  if (decoded.tdx != here_tdx) {
    return base::fail(base::ErrorCode::kDenied,
                      std::string("HW_KEY_PROTECTOR was sealed by ") +
                          (decoded.tdx ? "TDX" : "SEV-SNP") + ", this VM runs on " +
                          (here_tdx ? "TDX" : "SEV-SNP") + "; start it where it was sealed");
  }
  TRY_ASSIGN(keys, derive_keys(tee, decoded, vm_configuration));
  // Encrypt-then-MAC: nothing is decrypted before the MAC has been verified.
  if (!vmgs::crypto::equal_in_constant_time(decoded.hmac, mac_of(decoded, keys.mac))) {
    return base::fail(
        base::ErrorCode::kAuthentication,
        "HW_KEY_PROTECTOR does not verify: another image, guest policy or machine than the one "
        "that sealed it, another vm-configuration (given are " +
            std::to_string(vm_configuration.size()) +
            " bytes), or an altered file. Sealed at TCB " +
            describe(decoded.svn, report.svn_layout) +
            (decoded.mix_measurement ? ", bound to the launch measurement"
                                     : ", not bound to the measurement"));
  }
  TRY_ASSIGN(key, base::Secret<32>::filled_by([&](std::span<std::byte, 32> out) {
               return vmgs::crypto::cbc_decrypt(keys.cipher.expose(), decoded.iv,
                                                decoded.ciphertext, out);
             }));
  return DatastoreKey{std::move(key)};
}

base::Result<base::Bytes> export_hw_key_protector(const DatastoreKey& key, tee::Tee& tee,
                                                  std::string_view vm_configuration) {
  TRY_ASSIGN(report, tee.own_report());
  HwKeyProtector protector;
  protector.tdx = report.family == tee::TeeFamily::kTdx;
  protector.svn = report.reported_svn;
  TRY_ASSIGN(keys, derive_keys(tee, protector, vm_configuration));
  TRY(vmgs::crypto::random_bytes(protector.iv));
  TRY(vmgs::crypto::cbc_encrypt(keys.cipher.expose(), protector.iv, key.bytes.expose(),
                                protector.ciphertext));
  protector.hmac = mac_of(protector, keys.mac);
  return encode(protector);
}

}  // namespace vtpm::sealing
