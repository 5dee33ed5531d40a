// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/authority_folder.h"

#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <vector>

#include "vmgs/storage/folder.h"
#include "vmgs/storage/private_file.h"

namespace tools::vtpmd {

namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using keybroker::authority::CaKey;
using keybroker::authority::IssuingCa;
using keybroker::evidence::AkClass;

fs::path ca_file(const fs::path& folder, AkClass ak_class) {
  return folder / (std::string(name(ak_class)) + ".pem");
}

base::Result<void> make_folder(const fs::path& folder) {
  if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return base::fail(ErrorCode::kIo, "cannot make " + folder.string() + ": " +
                                          std::generic_category().message(errno));
  }
  return vmgs::storage::sync_folder_of(folder);
}

base::Result<IssuingCa> make_ca(const fs::path& file, AkClass ak_class, CaKey kind,
                                keybroker::crypto::Time now) {
  TRY_ASSIGN(ca, make_issuing_ca(ak_class, now, kind));
  TRY_ASSIGN(pem, encode(ca));
  TRY(vmgs::storage::create_private_file(file, pem.expose()));
  return ca;
}

base::Result<IssuingCa> open_ca(const fs::path& folder, AkClass ak_class, CaKey kind,
                                keybroker::crypto::Time now) {
  const auto file = ca_file(folder, ak_class);
  const auto pem = vmgs::storage::read_private_file(file, vmgs::storage::OtherReaders::kNone,
                                                    keybroker::authority::kMaxIssuingCaBytes);
  if (!pem && pem.error().code == ErrorCode::kNotFound) {
    return make_ca(file, ak_class, kind, now);
  }
  if (!pem) {
    return base::fail(base::Error(pem.error()).context("AK certificate authority"));
  }
  auto ca = keybroker::authority::decode_issuing_ca(ak_class, *pem);
  if (!ca) {
    return base::fail(ErrorCode::kCorrupt,
                      "AK certificate authority: " + file.string() +
                          " is damaged: " + ca.error().message +
                          ". Restore it from a backup. To begin with a new CA, move the file away: "
                          "whoever trusts the old root will not believe what the new CA issues");
  }
  return ca;
}

}  // namespace

base::Result<AuthorityFolder> open_authority_folder(const fs::path& folder, bool simulated,
                                                    CaKey kind, keybroker::crypto::Time now) {
  TRY(make_folder(folder));
  const auto database = folder / "certificates.db";
  std::vector<AkClass> classes = {AkClass::kCvm, AkClass::kHost};
  if (simulated) {
    classes.push_back(AkClass::kSimulated);
  }
  std::error_code error;
  if (!fs::exists(database, error)) {
    for (const auto ak_class : classes) {
      if (fs::exists(ca_file(folder, ak_class), error)) {
        return base::fail(ErrorCode::kCorrupt,
                          "AK certificate authority: " + database.string() +
                              " is not there, so nobody knows what " +
                              ca_file(folder, ak_class).string() +
                              " has issued and revoked. Restore it from a backup, or move the CAs "
                              "away as well and begin with new ones");
      }
    }
  }
  auto records = keybroker::store::CertificateDatabase::open(database);
  if (!records) {
    return base::fail(std::move(records).error().context("AK certificate authority"));
  }
  // Before a CA stands beside it, its name must be durable.
  TRY(vmgs::storage::sync_folder_of(database));
  std::map<AkClass, IssuingCa> cas;
  for (const auto ak_class : classes) {
    TRY_ASSIGN(ca, open_ca(folder, ak_class, kind, now));
    cas.emplace(ak_class, std::move(ca));
  }
  return AuthorityFolder{*std::move(records), std::move(cas)};
}

}  // namespace tools::vtpmd
