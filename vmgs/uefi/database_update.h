// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/uefi/variable_store.h"

namespace vmgs::uefi {

// A signature database of Secure Boot: PK, KEK, db, dbx, dbt, dbr.
struct Database {
  Guid vendor{};
  std::u16string name;
};

// find_database() is the one of that name, in the case in which UEFI spells it. kInvalidArgument
// for any other.
base::Result<Database> find_database(std::string_view name);

// What an update does with what is there.
enum class UpdateMode { kAppend, kReplace };

// SignatureCheck says whether PKCS #7 `signed_data` signs `content` by one of `certificates` (DER)
// or by one that they vouch for, as firmware judges it, and gives the signer's name for people.
// kAuthentication if not.
using SignatureCheck =
    std::function<base::Result<std::string>(base::ByteView signed_data, base::ByteView content,
                                            const std::vector<base::Bytes>& certificates)>;

// CertificateCheck says whether the bytes are an X.509 certificate, DER. kCorrupt if not.
using CertificateCheck = std::function<base::Result<void>(base::ByteView der)>;

struct DatabaseUpdate {
  Database database;
  base::Bytes bytes;               // signature lists, bare or as an authenticated update
  std::optional<UpdateMode> mode;  // none: what the signature says, else append (replace for PK)
  SignatureCheck check;            // none: a signature is not looked at
  CertificateCheck certificate_check = nullptr;  // none: certificates are taken as they are
};

struct UpdateOutcome {
  UpdateMode mode = UpdateMode::kAppend;
  std::size_t added = 0;
  std::size_t known = 0;   // were there already
  std::size_t before = 0;  // signatures
  std::size_t after = 0;
  bool is_signed = false;   // the update carries a signature
  std::string signed_by{};  // of one that was verified

  // Nothing to write: everything was there.
  [[nodiscard]] bool changes_nothing() const { return mode == UpdateMode::kAppend && added == 0; }
};

// update_database() does to `store` what firmware does when the update is handed to it (UEFI 8.2.2,
// EDK2's AuthVariableLib): PK and KEK are signed by PK, the others by KEK, and PK in setup mode,
// where there is no PK, by itself. In setup mode nothing else need be signed. A replacement must be
// younger than what it replaces; what an append would add twice is left out. Bare lists carry no
// signature: who may write the file may write them.
//
// kAuthentication where a signature does not hold; kDenied for a replacement that is older, a PK
// that is not one certificate, and no room; kCorrupt for what is no update, and for lists that
// firmware refuses (check_signature_lists()). On failure `store` is as it was.
base::Result<UpdateOutcome> update_database(VariableStore& store, const DatabaseUpdate& update);

}  // namespace vmgs::uefi
