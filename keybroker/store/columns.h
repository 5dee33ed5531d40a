// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "keybroker/crypto/time.h"
#include "keybroker/store/sql.h"

namespace keybroker::store {

// What the columns of a row hold, read into checked types: whatever is not what we wrote is
// kCorrupt. The database is not trusted to have kept it.

inline tl::unexpected<base::Error> wrong_column() {
  return base::fail(base::ErrorCode::kCorrupt, "the records hold a value of another kind");
}

template <typename T>
base::Result<T> column(const Row& row, std::size_t position) {
  const auto* value = position < row.size() ? std::get_if<T>(&row[position]) : nullptr;
  if (value == nullptr) {
    return wrong_column();
  }
  return *value;
}

inline bool is_null(const Row& row, std::size_t position) {
  return position < row.size() && std::holds_alternative<std::monostate>(row[position]);
}

inline base::Result<std::uint64_t> number(const Row& row, std::size_t position) {
  TRY_ASSIGN(value, column<std::int64_t>(row, position));
  if (value < 0) {
    return wrong_column();
  }
  return static_cast<std::uint64_t>(value);
}

inline base::Result<crypto::Time> time_column(const Row& row, std::size_t position) {
  TRY_ASSIGN(value, column<std::int64_t>(row, position));
  return crypto::Time(std::chrono::seconds(value));
}

template <std::size_t N>
base::Result<std::array<std::byte, N>> fixed(const Row& row, std::size_t position) {
  TRY_ASSIGN(bytes, column<base::Bytes>(row, position));
  std::array<std::byte, N> value{};
  if (bytes.size() != N) {
    return wrong_column();
  }
  std::copy(bytes.begin(), bytes.end(), value.begin());
  return value;
}

// word() is an enumeration that is stored as its number, from `first` to `last`.
template <typename Enum>
base::Result<Enum> word(const Row& row, std::size_t position, Enum first, Enum last) {
  TRY_ASSIGN(value, column<std::int64_t>(row, position));
  if (value < static_cast<std::int64_t>(first) || value > static_cast<std::int64_t>(last)) {
    return wrong_column();
  }
  return static_cast<Enum>(value);
}

// The same way back.
inline Value value_of(base::ByteView bytes) { return base::copy_of(bytes); }

inline Value value_of(crypto::Time time) { return std::int64_t{time.time_since_epoch().count()}; }

template <typename Enum>

requires std::is_enum_v<Enum> Value value_of(Enum value) {
  return static_cast<std::int64_t>(value);
}

template <typename T>
Value value_of(const std::optional<T>& value) {
  return value ? value_of(*value) : Value();
}

// The columns are signed. A number that a peer counted is checked before it is written.
inline bool fits(std::uint64_t value) {
  return value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
}

inline Value value_of(std::uint64_t value) { return static_cast<std::int64_t>(value); }

}  // namespace keybroker::store
