// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "vmgs/base/result.h"

namespace base {

// Secret<N> owns N bytes of key material and wipes them when it dies, is moved from, or is
// overwritten. It cannot be copied, printed or compared with ==. Every look at the bytes goes
// through expose(), so a search for `expose()` lists every place that touches a key.
template <std::size_t N>
class Secret {
 public:
  // filled_by() hands the inside of a new secret to `fill` (an RNG, a KDF, an unwrap), so that no
  // second copy of the key is left on its stack. The error is the one `fill` returned.
  template <typename Fill>
  static Result<Secret> filled_by(Fill&& fill) {
    Secret secret;
    TRY(std::forward<Fill>(fill)(std::span<std::byte, N>(secret.bytes_)));
    return secret;
  }

  // copy_of() takes a copy of bytes whose owner wipes them itself.
  static Secret copy_of(std::span<const std::byte, N> bytes) {
    Secret secret;
    std::copy(bytes.begin(), bytes.end(), secret.bytes_.begin());
    return secret;
  }

  // zero() is a secret of zero bytes, for a maker that fills it in steps.
  static Secret zero() { return Secret(); }

  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { other.wipe(); }

  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      other.wipe();
    }
    return *this;
  }

  ~Secret() { wipe(); }

  [[nodiscard]] std::span<const std::byte, N> expose() const { return bytes_; }

  // fill() is where the secret is written, by its maker.
  [[nodiscard]] std::span<std::byte, N> fill() { return bytes_; }

  [[nodiscard]] bool equals_in_constant_time(const Secret& other) const {
    return CRYPTO_memcmp(bytes_.data(), other.bytes_.data(), N) == 0;
  }

  // is_all_zero() takes the same time whatever the bytes are.
  [[nodiscard]] bool is_all_zero() const {
    const std::array<std::byte, N> zero{};
    return CRYPTO_memcmp(bytes_.data(), zero.data(), N) == 0;
  }

 private:
  Secret() = default;

  void wipe() { OPENSSL_cleanse(bytes_.data(), N); }

  std::array<std::byte, N> bytes_{};
};

// SecretBytes is the same for secrets whose length is known only at run time. Its size never
// grows, so no copy is left behind by a reallocation.
class SecretBytes {
 public:
  SecretBytes() = default;

  explicit SecretBytes(std::size_t size) : bytes_(size) {}

  // taking() becomes the owner of bytes that hold a secret.
  static SecretBytes taking(std::vector<std::byte>&& bytes) {
    SecretBytes secret;
    secret.bytes_ = std::move(bytes);
    return secret;
  }

  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  SecretBytes(SecretBytes&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

  SecretBytes& operator=(SecretBytes&& other) noexcept {
    if (this != &other) {
      wipe();
      bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
  }

  ~SecretBytes() { wipe(); }

  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

  [[nodiscard]] std::span<const std::byte> expose() const { return bytes_; }

  // fill() is where the secret is written, by its maker.
  [[nodiscard]] std::span<std::byte> fill() { return bytes_; }

 private:
  void wipe() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

  std::vector<std::byte> bytes_;
};

}  // namespace base
