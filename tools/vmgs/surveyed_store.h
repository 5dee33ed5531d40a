// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>

#include "tools/vmgs/store.h"
#include "vmgs/inspect/ownership.h"
#include "vmgs/inspect/provenance.h"
#include "vmgs/inspect/survey.h"

namespace tools::vmgs {

// A store that is looked at and not used: whatever is wrong with it, it is here. The survey stands
// on the container.
struct SurveyedStore {
  ::vmgs::storage::Container container;
  ::vmgs::inspect::Survey survey;
  ::vmgs::inspect::Provenance provenance;
  std::optional<::vmgs::volume::DatastoreKey> key;  // that was given
};

// survey_store() opens the container to read it, and surveys what is in it with the --key. Errors
// of open_container() and survey(), with the path in front.
base::Result<SurveyedStore> survey_store(const StoreArguments& arguments);

// ownership_of() sorts the blocks by the generation that is the state; where neither is known to be
// newer, by that of the first valid header. kCorrupt where no header is valid.
base::Result<::vmgs::inspect::Ownership> ownership_of(const ::vmgs::inspect::Survey& survey);

// shown_side() is the side that ownership_of() goes by; null where no header is valid.
const ::vmgs::inspect::Side* shown_side(const ::vmgs::inspect::Survey& survey);

// The members "provenance" of documents, and its lines in texts.
boost::json::object to_json(const ::vmgs::inspect::Provenance& provenance);
std::string to_text(const ::vmgs::inspect::Provenance& provenance);

// space_json() counts blocks by use; space_text() is one line of it.
boost::json::object space_json(const ::vmgs::inspect::Ownership& ownership);
std::string space_text(const ::vmgs::inspect::Ownership& ownership);

}  // namespace tools::vmgs
