// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>

#include "keybroker/authority/issuing_ca.h"
#include "keybroker/store/certificate_database.h"
#include "vmgs/base/result.h"

namespace tools::vtpmd {

// What an authority has on disk.
struct AuthorityFolder {
  keybroker::store::CertificateDatabase records;
  keybroker::store::CertificateDatabase view;  // the same, to read from another thread
  std::map<keybroker::evidence::AkClass, keybroker::authority::IssuingCa> cas;
};

// open_authority_folder() reads an authority's folder, and makes what is not there yet:
//   CLASS.pem         a class's CA with its private key, closed to others
//   certificates.db   what was issued and revoked
// There is a CA of class `cvm` and one of class `host`, and one of class `simulated` if asked for.
// A new CA signs with a key of this kind; it is durable before it is given back. What is damaged is
// kCorrupt, with the file, the reason and what to do: nothing is ever put in its place. So is a CA
// that has issued something and is gone, and a CA that the records know nothing of.
base::Result<AuthorityFolder> open_authority_folder(const std::filesystem::path& folder,
                                                    bool simulated,
                                                    keybroker::authority::CaKey kind,
                                                    keybroker::crypto::Time now);

}  // namespace tools::vtpmd
