// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace keybroker::policy {

// A whole number of JSON from -2^63 to 2^64-1. Fractions and exponents are no numbers here: two
// readers could round them differently.
class Number {
 public:
  explicit Number(std::int64_t value) : negative_(value < 0), bits_(to_bits(value)) {}

  explicit Number(std::uint64_t value) : bits_(value) {}

  friend bool operator==(const Number&, const Number&) = default;
  friend bool operator<(const Number& a, const Number& b);

  [[nodiscard]] boost::json::value json() const;

 private:
  static std::uint64_t to_bits(std::int64_t value) { return static_cast<std::uint64_t>(value); }

  bool negative_ = false;
  std::uint64_t bits_;  // of a negative number, its two's complement
};

// What a policy compares a claim with.
using Scalar = std::variant<bool, Number, std::string>;

// scalar_of() is a value of JSON as a scalar; nothing for null, objects, arrays and fractions.
std::optional<Scalar> scalar_of(const boost::json::value& value);
boost::json::value json_of(const Scalar& scalar);

// bool_of() is a bool as it is, and "true" and "false" as Azure Key Vault means them; nothing for
// all else.
std::optional<bool> bool_of(const Scalar& scalar);

// type_name() is "true or false", "a number" or "a string".
std::string_view type_name(const Scalar& scalar);

// glob_matches() tells whether `pattern` describes all of `text`: `*` stands for any characters or
// none, `?` for one of UTF-8, all else for itself. It takes at most the product of both lengths in
// steps.
bool glob_matches(std::string_view pattern, std::string_view text);

inline constexpr std::size_t kMaxPatternBytes = 256;

// Longer claims match no pattern, so that hostile ones cannot make an evaluation long.
inline constexpr std::size_t kMaxMatchedBytes = 1024;

}  // namespace keybroker::policy
