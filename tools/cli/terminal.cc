// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/terminal.h"

#include <unistd.h>

#include <cstdlib>

namespace tools::cli {

namespace {

std::string_view variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

}  // namespace

bool shows_colour(int descriptor) {
  if (!variable("NO_COLOR").empty()) {
    return false;
  }
  if (const auto forced = variable("CLICOLOR_FORCE"); !forced.empty() && forced != "0") {
    return true;
  }
  const auto term = variable("TERM");
  return ::isatty(descriptor) == 1 && !term.empty() && term != "dumb";
}

std::string printable(std::string_view text) {
  std::string shown;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto each = static_cast<unsigned char>(text[i]);
    // The C1 controls are two bytes in UTF-8.
    const bool is_c1 =
        each == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (is_c1) {
      ++i;
    }
    shown += is_c1 || each < 0x20 || each == 0x7F ? '?' : text[i];
  }
  return shown;
}

}  // namespace tools::cli
