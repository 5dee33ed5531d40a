// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vmgs/inspect/file_kind.h"
#include "vmgs/inspect/provenance.h"
#include "vmgs/inspect/survey.h"
#include "vmgs/repair/examine.h"
#include "vmgs/storage/block_device.h"

namespace vmgs::inspect {

// Whether a store opens, and if not, of what kind the obstacle is.
enum class Verdict {
  kOpens,
  kNeedsKey,      // whole as far as can be seen, and locked
  kWrongKey,      // the key that was given is not its key
  kOpensDamaged,  // opens, and something in it does not
  kDamaged,       // does not open
  kBlank,         // never formatted
  kNotAStore,
  kOutOfReach,  // the file cannot be read: absent, in use, closed to this user
};

// name() is a stable lower-case word, for JSON.
std::string_view name(Verdict verdict);

// Explanation tells somebody whose VM does not start what stands in the way, in sentences. Commands
// in it name the file as the caller gave it.
struct Explanation {
  Verdict verdict = Verdict::kOpens;
  std::string what;                   // the file in one sentence
  std::vector<std::string> why;       // what is in the way, or worth knowing, worst first
  std::vector<std::string> opens_it;  // what would open it, each by itself
  std::vector<std::string> next;      // what to do, in order
};

// What explain_store() goes by.
struct StoreInQuestion {
  std::string file;  // as commands name it
  const Survey& survey;
  const Provenance& provenance;
  const repair::Examination& examination;
};

// explain_store() explains what survey() took in.
Explanation explain_store(storage::BlockDevice& device, const StoreInQuestion& store);

// explain_file() explains what is no store at all.
Explanation explain_file(FileKind kind, const std::string& file);

}  // namespace vmgs::inspect
