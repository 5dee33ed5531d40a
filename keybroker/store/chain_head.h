// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "keybroker/store/sql.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::store {

// Where a chain of the audit log ends, or ended.
struct ChainHead {
  Subject subject{};
  std::uint64_t sequence = 0;
  Sha256Digest hash{};

  friend bool operator==(const ChainHead&, const ChainHead&) = default;
};

// root_of() is the Merkle tree hash of RFC 9162, 2.1.1 over heads in the order of their subjects.
Sha256Digest root_of(const std::vector<ChainHead>& heads);

// present_heads() are the chains as they are, in the order of their subjects. They are read page by
// page, each chain at a moment of its own.
base::Result<std::vector<ChainHead>> present_heads(Sql& sql);

struct HeadsSeen {
  std::vector<ChainHead> heads;
  std::optional<ChainHead> lost;  // the first whose line is not on record as it was
};

// heads_at() are the chains as a checkpoint saw them, by what is on record of it.
base::Result<HeadsSeen> heads_at(Sql& sql, std::uint64_t checkpoint);

// moved() are those of `now` that are not as they were at a checkpoint `before`. kCorrupt, naming
// the subject, if one is no longer there, or was set back.
base::Result<std::vector<ChainHead>> moved(const std::vector<ChainHead>& before,
                                           const std::vector<ChainHead>& now);

}  // namespace keybroker::store
