// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/running_digest.h"

#include <openssl/evp.h>

#include <cstdlib>

namespace vmgs::crypto {

namespace {

void require(bool done) {
  if (!done) {
    std::abort();
  }
}

EVP_MD_CTX* inside(void* context) { return static_cast<EVP_MD_CTX*>(context); }

}  // namespace

void RunningSha256::Free::operator()(void* context) const { EVP_MD_CTX_free(inside(context)); }

RunningSha256::RunningSha256() : context_(EVP_MD_CTX_new()) {
  require(context_ && EVP_DigestInit_ex(inside(context_.get()), EVP_sha256(), nullptr) == 1);
}

void RunningSha256::add(base::ByteView piece) {
  require(EVP_DigestUpdate(inside(context_.get()), piece.data(), piece.size()) == 1);
}

Sha256Digest RunningSha256::finish() {
  Sha256Digest out{};
  unsigned int length = 0;
  require(EVP_DigestFinal_ex(inside(context_.get()), reinterpret_cast<unsigned char*>(out.data()),
                             &length) == 1 &&
          length == out.size());
  return out;
}

}  // namespace vmgs::crypto
