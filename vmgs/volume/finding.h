// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace vmgs::volume {

enum class Severity {
  kNote,     // Worth knowing; nothing is wrong.
  kWarning,  // Out of the ordinary; everything still opens.
  kError,    // Something is damaged, lost or unprotected.
};

// Finding is one thing that was noticed about a store. `code` is a stable kebab-case word for
// programs, `where` the place, `message` a sentence for people that ends with what to do, if there
// is anything to do.
struct Finding {
  std::string code;
  Severity severity = Severity::kNote;
  std::string where;
  std::string message;
};

}  // namespace vmgs::volume
