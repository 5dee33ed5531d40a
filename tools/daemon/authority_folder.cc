// SPDX-License-Identifier: Apache-2.0
#include "tools/daemon/authority_folder.h"

#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <vector>

#include "vmgs/base/log.h"
#include "vmgs/storage/folder.h"
#include "vmgs/storage/private_file.h"

namespace tools::daemon {

namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using keybroker::authority::CaKey;
using keybroker::authority::IssuingCa;
using keybroker::evidence::AkClass;
using keybroker::store::CertificateDatabase;

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

tl::unexpected<base::Error> fault(const std::string& what) {
  return base::fail(ErrorCode::kCorrupt, "AK certificate authority: " + what);
}

// The first number of a CA's revocation lists is taken before there is the CA, and given to no
// list: by it the records know the CA even before it has issued anything.
base::Result<IssuingCa> make_ca(const fs::path& file, AkClass ak_class, CaKey kind,
                                CertificateDatabase& records, keybroker::crypto::Time now) {
  TRY_ASSIGN(number, records.last_crl_number(ak_class));
  TRY_ASSIGN(has_issued, records.has_issued(ak_class));
  if (number > 1 || has_issued) {
    return fault(
        file.string() +
        " is not there, and it has issued certificates. Restore it from a backup. To begin "
        "with new CAs, move the whole folder away: whoever trusts the old roots will not "
        "believe what the new CAs issue");
  }
  if (number == 0) {
    TRY(records.next_crl_number(ak_class));
  }
  TRY_ASSIGN(ca, make_issuing_ca(ak_class, now, kind));
  TRY_ASSIGN(pem, encode(ca));
  TRY(vmgs::storage::create_private_file(file, pem.expose()));
  base::log(base::LogLevel::kInfo, "AK certificate authority: " + file.string() +
                                       " is new; the SHA-256 of its root is " +
                                       base::to_hex(ca.root.fingerprint()));
  return ca;
}

// Records that know nothing of a CA cannot say what it has revoked.
base::Result<void> expect_known(const fs::path& file, AkClass ak_class,
                                CertificateDatabase& records) {
  TRY_ASSIGN(number, records.last_crl_number(ak_class));
  TRY_ASSIGN(has_issued, records.has_issued(ak_class));
  if (number == 0 && !has_issued) {
    return fault(
        "the record of what was issued knows nothing of " + file.string() +
        ", so nobody knows what that has issued and revoked. Restore both from a backup, or "
        "move the whole folder away and begin with new CAs");
  }
  return {};
}

base::Result<IssuingCa> open_ca(const fs::path& folder, AkClass ak_class, CaKey kind,
                                CertificateDatabase& records, keybroker::crypto::Time now) {
  const auto file = ca_file(folder, ak_class);
  const auto pem = vmgs::storage::read_private_file(file, vmgs::storage::OtherReaders::kNone,
                                                    keybroker::authority::kMaxIssuingCaBytes);
  if (!pem && pem.error().code == ErrorCode::kNotFound) {
    return make_ca(file, ak_class, kind, records, now);
  }
  if (!pem) {
    return base::fail(base::Error(pem.error()).context("AK certificate authority"));
  }
  auto ca = keybroker::authority::decode_issuing_ca(ak_class, *pem);
  if (!ca) {
    return fault(file.string() + " is damaged: " + ca.error().message +
                 ". Restore it from a backup. To begin with new CAs, move the whole folder away: "
                 "whoever trusts the old roots will not believe what the new CAs issue");
  }
  TRY(expect_known(file, ak_class, records));
  return ca;
}

std::vector<AkClass> classes_of(bool simulated) {
  std::vector<AkClass> classes = {AkClass::kCvm, AkClass::kHost};
  if (simulated) {
    classes.push_back(AkClass::kSimulated);
  }
  return classes;
}

}  // namespace

base::Result<std::map<AkClass, IssuingCa>> open_cas(const fs::path& folder,
                                                    CertificateDatabase& records, bool simulated,
                                                    CaKey kind, keybroker::crypto::Time now) {
  TRY(make_folder(folder));
  std::map<AkClass, IssuingCa> cas;
  for (const auto ak_class : classes_of(simulated)) {
    TRY_ASSIGN(ca, open_ca(folder, ak_class, kind, records, now));
    cas.emplace(ak_class, std::move(ca));
  }
  return cas;
}

base::Result<AuthorityFolder> open_authority_folder(const fs::path& folder, bool simulated,
                                                    CaKey kind, keybroker::crypto::Time now) {
  TRY(make_folder(folder));
  const auto database = folder / "certificates.db";
  std::error_code error;
  if (!fs::exists(database, error)) {
    for (const auto ak_class : classes_of(simulated)) {
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
  auto records = CertificateDatabase::open(database);
  if (!records) {
    return base::fail(std::move(records).error().context("AK certificate authority"));
  }
  // Before a CA stands beside it, its name must be durable.
  TRY(vmgs::storage::sync_folder_of(database));
  TRY_ASSIGN(cas, open_cas(folder, *records, simulated, kind, now));
  TRY_ASSIGN(view, CertificateDatabase::open(database));
  return AuthorityFolder{*std::move(records), std::move(view), std::move(cas)};
}

}  // namespace tools::daemon
