// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/format/file_id.h"

namespace tools::vmgs {

// FileMeaning is what the content of one file says, without any secret of it.
struct FileMeaning {
  std::string summary;         // one line
  boost::json::object fields;  // all of it; empty where there is no more than the summary
  std::string trouble;         // why it is not what its id says, empty if it is
};

// meaning_of() decodes a content by the id that it has in a store. It fails at nothing: what is not
// understood is said.
FileMeaning meaning_of(::vmgs::format::FileId id, base::ByteView content);

// meaning_of_tpm_state() is the same for TPM_NVRAM and TPM_VOLATILE, and for whatever else may be
// the state of a TPM: of swtpm, of libtpms, of OpenHCL.
FileMeaning meaning_of_tpm_state(base::ByteView content);

// facts_text() lays out fields for people: names without their underscores, objects indented,
// arrays of objects as tables. Control characters are replaced.
std::string facts_text(const boost::json::object& fields);

}  // namespace tools::vmgs
