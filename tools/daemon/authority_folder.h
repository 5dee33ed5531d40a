// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>

#include "keybroker/authority/issuing_ca.h"
#include "keybroker/store/certificate_database.h"
#include "vmgs/base/result.h"

namespace tools::daemon {

// What an authority has on disk.
struct AuthorityFolder {
  keybroker::store::CertificateDatabase records;
  keybroker::store::CertificateDatabase view;  // the same, to read from another thread
  std::map<keybroker::evidence::AkClass, keybroker::authority::IssuingCa> cas;
};

// open_cas() reads the CAs in a folder, CLASS.pem with its private key, closed to others, and makes
// what is not there yet. There is a CA of class `cvm` and one of class `host`, and one of class
// `simulated` if asked for. A new CA signs with a key of this kind; it is durable before it is
// given back. What is damaged is kCorrupt, with the file, the reason and what to do: nothing is
// ever put in its place. So is a CA that has issued something and is gone, and a CA that the
// records know nothing of.
base::Result<std::map<keybroker::evidence::AkClass, keybroker::authority::IssuingCa>> open_cas(
    const std::filesystem::path& folder, keybroker::store::CertificateDatabase& records,
    bool simulated, keybroker::authority::CaKey kind, keybroker::crypto::Time now);

// open_authority_folder() is open_cas() with the records beside the CAs: certificates.db has what
// was issued and revoked. CAs without records are kCorrupt too.
base::Result<AuthorityFolder> open_authority_folder(const std::filesystem::path& folder,
                                                    bool simulated,
                                                    keybroker::authority::CaKey kind,
                                                    keybroker::crypto::Time now);

}  // namespace tools::daemon
