// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/context.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/secret.h"

namespace transport::tls {

namespace {

namespace fs = std::filesystem;
namespace ssl = boost::asio::ssl;
using base::ErrorCode;

constexpr std::size_t kMaxFileBytes = std::size_t{4} << 20;

// Our authorities sign leaves themselves or through one or two others.
constexpr int kMaxChainDepth = 4;

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using Source = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Crl = std::unique_ptr<X509_CRL, Freed<X509_CRL_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

base::Result<void> refuse(const fs::path& file, const std::string& why) {
  ERR_clear_error();
  return base::fail(ErrorCode::kInvalidArgument, file.string() + ": " + why);
}

auto cannot_read(const fs::path& file, int error) {
  return base::fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                    "cannot read " + file.string() + ": " + std::generic_category().message(error));
}

enum class Access { kAnyones, kOwners };

base::Result<base::SecretBytes> read_file(const fs::path& file, Access access) {
  const base::Descriptor opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));

  struct stat status {};

  if (!opened.is_open() || fstat(opened.number(), &status) != 0) {
    return cannot_read(file, errno);
  }
  if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) > kMaxFileBytes) {
    return base::fail(ErrorCode::kInvalidArgument, file.string() + " is no file of PEM text");
  }
  if (access == Access::kOwners && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return base::fail(ErrorCode::kDenied, file.string() +
                                              " holds a private key and is open to others than "
                                              "its owner; close it with chmod 600");
  }
  base::SecretBytes bytes(static_cast<std::size_t>(status.st_size));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto got = ::read(opened.number(), bytes.fill().data() + done, bytes.size() - done);
    if (got < 0) {
      return cannot_read(file, errno);
    }
    if (got == 0) {
      return base::fail(ErrorCode::kIo, file.string() + " became shorter while it was read");
    }
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

Source source_of(const base::SecretBytes& bytes) {
  return Source(BIO_new_mem_buf(bytes.expose().data(), static_cast<int>(bytes.size())));
}

// OpenSSL would ask for the passphrase of an encrypted key on the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

// The items of a PEM file up to its end; at least one, and nothing that is of another kind.
template <typename Owned, auto Read>
base::Result<std::vector<Owned>> read_items(const fs::path& file, const std::string& what) {
  TRY_ASSIGN(bytes, read_file(file, Access::kAnyones));
  const auto source = source_of(bytes);
  std::vector<Owned> items;
  while (Owned item{Read(source.get(), nullptr, no_passphrase, nullptr)}) {
    items.push_back(std::move(item));
  }
  const auto last = ERR_peek_last_error();
  ERR_clear_error();
  if (items.empty() ||
      !(ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE)) {
    return base::fail(ErrorCode::kInvalidArgument, file.string() + " is no PEM file of " + what);
  }
  return items;
}

base::Result<void> use_certificate(SSL_CTX& context, const fs::path& file) {
  const auto read = read_items<Certificate, PEM_read_bio_X509>(file, "certificates");
  if (!read) {
    return base::fail(read.error());
  }
  if (SSL_CTX_use_certificate(&context, read->front().get()) != 1) {
    return refuse(file, "the certificate cannot be used; its key may be too weak");
  }
  for (std::size_t i = 1; i < read->size(); ++i) {
    if (SSL_CTX_add1_chain_cert(&context, (*read)[i].get()) != 1) {
      return refuse(file, "certificate " + std::to_string(i + 1) + " of the chain cannot be used");
    }
  }
  return {};
}

base::Result<void> use_key(SSL_CTX& context, const CredentialFiles& files) {
  TRY_ASSIGN(bytes, read_file(files.key, Access::kOwners));
  const auto source = source_of(bytes);
  const Key key(PEM_read_bio_PrivateKey(source.get(), nullptr, no_passphrase, nullptr));
  if (!key) {
    return refuse(files.key, "is no unencrypted private key in PEM");
  }
  if (SSL_CTX_use_PrivateKey(&context, key.get()) != 1 ||
      SSL_CTX_check_private_key(&context) != 1) {
    return refuse(files.key, "is not the key of " + files.certificate.string());
  }
  return {};
}

base::Result<void> believe(SSL_CTX& context, const CredentialFiles& files) {
  const auto roots = read_items<Certificate, PEM_read_bio_X509>(files.authorities, "certificates");
  if (!roots) {
    return base::fail(roots.error());
  }
  auto* store = SSL_CTX_get_cert_store(&context);
  for (const auto& root : *roots) {
    // A server names its authorities to callers, who may have certificates of several.
    if (X509_STORE_add_cert(store, root.get()) != 1 ||
        SSL_CTX_add_client_CA(&context, root.get()) != 1) {
      return refuse(files.authorities, "has a certificate that cannot be used");
    }
  }
  if (files.revoked.empty()) {
    return {};
  }
  const auto lists = read_items<Crl, PEM_read_bio_X509_CRL>(files.revoked, "revocation lists");
  if (!lists) {
    return base::fail(lists.error());
  }
  for (const auto& list : *lists) {
    if (X509_STORE_add_crl(store, list.get()) != 1) {
      return refuse(files.revoked, "has a revocation list that cannot be used");
    }
  }
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  return {};
}

Context empty_context(ssl::context::method method) {
  auto context = std::make_shared<ssl::context>(method);
  auto& native = *context->native_handle();
  SSL_CTX_set_options(&native, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(&native, 0);
  SSL_CTX_set_session_cache_mode(&native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_security_level(&native, 2);
  SSL_CTX_set_verify_depth(&native, kMaxChainDepth);
  return context;
}

}  // namespace

base::Result<Context> server_context(const CredentialFiles& files, Callers callers) {
  auto context = empty_context(ssl::context::tlsv13_server);
  auto& native = *context->native_handle();
  TRY(use_certificate(native, files.certificate));
  TRY(use_key(native, files));
  if (callers == Callers::kAnyone) {
    context->set_verify_mode(ssl::verify_none);
    return context;
  }
  TRY(believe(native, files));
  context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
  return context;
}

base::Result<Context> client_context(const CredentialFiles& files) {
  auto context = empty_context(ssl::context::tlsv13_client);
  auto& native = *context->native_handle();
  if (!files.certificate.empty() || !files.key.empty()) {
    TRY(use_certificate(native, files.certificate));
    TRY(use_key(native, files));
  }
  TRY(believe(native, files));
  context->set_verify_mode(ssl::verify_peer);
  return context;
}

}  // namespace transport::tls
