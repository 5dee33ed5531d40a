// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <filesystem>
#include <memory>

#include "vmgs/base/result.h"

namespace transport::tls {

// CredentialFiles are what one side shows, and what it believes. All are PEM.
struct CredentialFiles {
  std::filesystem::path certificate;  // our own, then those that lead from it towards the root
  std::filesystem::path key;          // its private key, unencrypted; closed to all but its owner
  std::filesystem::path authorities;  // roots to which the other side's certificate must lead
  std::filesystem::path revoked{};  // revocation lists of every authority; empty: none is looked at
};

// Context is a side's credentials and terms, immutable once made. Connections share it, so that one
// made anew from renewed files serves those to come and takes nothing from those that are there.
//
// TLS 1.3 only: there is no renegotiation, no compression and no weaker key exchange. No session is
// resumed, so that every connection proves its certificate, and no early data is taken.
using Context = std::shared_ptr<boost::asio::ssl::context>;

// Whom a server lets in. Either way a certificate that is shown must be good.
enum class Callers {
  kWithCertificate,  // who shows a certificate that an authority of ours has issued
  kAnyone,           // nobody is asked for one: what is served there is for everyone
};

// server_context() and client_context() read the files. kNotFound if there is none of that name,
// kDenied for a key that others than its owner may read, kInvalidArgument for what is not of the
// form above or a key that is not the certificate's, else kIo; the message names the file. The
// system's own authorities are never believed.
base::Result<Context> server_context(const CredentialFiles& files,
                                     Callers callers = Callers::kWithCertificate);

// A client with neither certificate nor key shows none.
base::Result<Context> client_context(const CredentialFiles& files);

}  // namespace transport::tls
