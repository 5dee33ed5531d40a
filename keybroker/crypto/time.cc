// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/time.h"

#include <array>
#include <cstdio>

namespace keybroker::crypto {

namespace {

bool has_shape(std::string_view text) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00Z";
  if (text.size() != kShape.size()) {
    return false;
  }
  for (std::size_t i = 0; i < kShape.size(); ++i) {
    if (kShape[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != kShape[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace

base::Result<Time> parse_time(std::string_view text) {
  const auto wrong = [&] {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "'" + std::string(text.substr(0, 40)) +
                          "' is no time; expected one like 2025-06-19T10:16:03Z");
  };
  if (!has_shape(text)) {
    return wrong();
  }
  const auto at = [&](std::size_t offset, std::size_t digits) {
    int value = 0;
    for (const char digit : text.substr(offset, digits)) {
      value = value * 10 + (digit - '0');
    }
    return value;
  };
  const std::chrono::year_month_day day{std::chrono::year(at(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(at(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(at(8, 2)))};
  if (!day.ok() || at(11, 2) > 23 || at(14, 2) > 59 || at(17, 2) > 59) {
    return wrong();
  }
  return std::chrono::sys_days(day) + std::chrono::hours(at(11, 2)) +
         std::chrono::minutes(at(14, 2)) + std::chrono::seconds(at(17, 2));
}

std::string to_text(Time time) {
  const auto days = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day day(days);
  const std::chrono::hh_mm_ss clock(time - days);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ",
                static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                static_cast<unsigned>(day.day()), static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text.data();
}

}  // namespace keybroker::crypto
