// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/chain.h"

#include <openssl/x509_vfy.h>

#include <algorithm>

#include "keybroker/crypto/openssl.h"

namespace keybroker::crypto {

namespace {

using Store = std::unique_ptr<X509_STORE, openssl::Freed<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, openssl::Freed<X509_STORE_CTX_free>>;

// Frees the stack and leaves the certificates to their owners.
void free_stack(STACK_OF(X509) * stack) { sk_X509_free(stack); }

using Stack = std::unique_ptr<STACK_OF(X509), openssl::Freed<free_stack>>;

PathFault path_fault_of(int error) {
  switch (error) {
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
    case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY:
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return PathFault::kSignature;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_SUBJECT_ISSUER_MISMATCH:
    case X509_V_ERR_AKID_SKID_MISMATCH:
    case X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH:
      return PathFault::kIssuer;
    default:
      return PathFault::kConstraint;
  }
}

std::string describe(const X509_STORE_CTX* context) {
  const X509* certificate = X509_STORE_CTX_get_current_cert(context);
  std::string text = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
  if (certificate != nullptr) {
    std::array<char, 200> name{};
    X509_NAME_oneline(X509_get_subject_name(certificate), name.data(),
                      static_cast<int>(name.size()));
    text += " at " + std::string(name.data());
  }
  return text;
}

// note() is asked at each fault. It lets a fault of time pass, so that the rest is looked at too.
int note(int good, X509_STORE_CTX* context) {
  auto& verdict = *static_cast<PathVerdict*>(X509_STORE_CTX_get_app_data(context));
  if (good == 1) {
    return 1;
  }
  const int error = X509_STORE_CTX_get_error(context);
  const bool expired = error == X509_V_ERR_CERT_HAS_EXPIRED;
  if (expired || error == X509_V_ERR_CERT_NOT_YET_VALID) {
    if (verdict.time == TimeFault::kNone) {
      verdict.time = expired ? TimeFault::kExpired : TimeFault::kNotYetValid;
      verdict.time_detail = describe(context);
    }
    return 1;
  }
  verdict.path = path_fault_of(error);
  verdict.path_detail = describe(context);
  return 0;
}

// is_exactly() tells whether the path that OpenSSL found is the one that was given.
bool is_exactly(const STACK_OF(X509) * found, const std::vector<const Certificate*>& expected) {
  if (sk_X509_num(found) != static_cast<int>(expected.size())) {
    return false;
  }
  for (int i = 0; i < sk_X509_num(found); ++i) {
    if (X509_cmp(sk_X509_value(found, i), expected[static_cast<std::size_t>(i)]->handle()) != 0) {
      return false;
    }
  }
  return true;
}

// OpenSSL stops at the first fault of the path and may not have come to the times.
void look_at_times(const std::vector<const Certificate*>& path, Time now, PathVerdict& verdict) {
  for (const auto* certificate : path) {
    const bool early = now < certificate->not_before();
    if (verdict.time == TimeFault::kNone && (early || now > certificate->not_after())) {
      verdict.time = early ? TimeFault::kNotYetValid : TimeFault::kExpired;
      verdict.time_detail = certificate->subject() +
                            (early ? " is not valid before " + to_text(certificate->not_before())
                                   : " is not valid after " + to_text(certificate->not_after()));
    }
  }
}

PathVerdict failed(PathFault fault, std::string detail) {
  PathVerdict verdict;
  verdict.path = fault;
  verdict.path_detail = std::move(detail);
  return verdict;
}

}  // namespace

PathVerdict verify_path(const Certificate& leaf, std::span<const Certificate> intermediates,
                        const Certificate& root, Time now, Anchor anchor) {
  const openssl::ClearedErrors errors;
  const Store store(X509_STORE_new());
  const Stack untrusted(sk_X509_new_null());
  const StoreContext context(X509_STORE_CTX_new());
  std::vector<const Certificate*> expected{&leaf};
  for (const auto& intermediate : intermediates) {
    sk_X509_push(untrusted.get(), intermediate.handle());
    expected.push_back(&intermediate);
  }
  expected.push_back(&root);
  if (!store || !context || X509_STORE_add_cert(store.get(), root.handle()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), leaf.handle(), untrusted.get()) != 1) {
    return failed(PathFault::kConstraint, "OpenSSL cannot build a path");
  }
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(param, static_cast<time_t>(now.time_since_epoch().count()));
  if (anchor == Anchor::kAuthority) {
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
  }
  X509_VERIFY_PARAM_set_depth(param, static_cast<int>(intermediates.size()));
  PathVerdict verdict;
  X509_STORE_CTX_set_app_data(context.get(), &verdict);
  X509_STORE_CTX_set_verify_cb(context.get(), note);
  if (X509_verify_cert(context.get()) != 1) {
    if (verdict.path == PathFault::kNone) {
      verdict = failed(PathFault::kConstraint, "OpenSSL found no path");
    }
  } else if (!is_exactly(X509_STORE_CTX_get0_chain(context.get()), expected)) {
    verdict.path = PathFault::kIssuer;
    verdict.path_detail = "the path that verifies is not the one that was given";
  }
  look_at_times(expected, now, verdict);
  return verdict;
}

void Validity::narrow(const Validity& other) {
  from = std::max(from, other.from);
  until = std::min(until, other.until);
}

Validity validity_of(std::span<const Certificate> certificates) {
  Validity validity;
  for (const auto& certificate : certificates) {
    validity.narrow({certificate.not_before(), certificate.not_after()});
  }
  return validity;
}

}  // namespace keybroker::crypto
