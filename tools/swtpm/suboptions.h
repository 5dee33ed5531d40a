// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "vmgs/base/result.h"

namespace tools::swtpm {

// What may stand in the value of one of swtpm's options, as "type=unixio,path=/x,terminate".
enum class SuboptionKind { kText, kNumber, kOctal, kUser, kGroup, kFlag };

struct Suboption {
  std::string_view name;
  SuboptionKind kind;
};

// Suboptions is such a value, read.
class Suboptions {
 public:
  // parse() takes what swtpm takes: the last of two wins, a flag is on if it stands there or has
  // "=true". kInvalidArgument for a name that is not in `known`, a value that is missing or is none
  // of its kind; the message names `option`.
  static base::Result<Suboptions> parse(std::string_view option, std::string_view value,
                                        std::initializer_list<Suboption> known);

  [[nodiscard]] std::optional<std::string> text(std::string_view name) const;
  [[nodiscard]] std::optional<std::uint32_t> number(std::string_view name) const;
  [[nodiscard]] bool flag(std::string_view name) const;

 private:
  std::map<std::string, std::string, std::less<>> texts_;
  std::map<std::string, std::uint32_t, std::less<>> numbers_;
};

}  // namespace tools::swtpm
