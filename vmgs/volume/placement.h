// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/format/file_table.h"

namespace vmgs::volume {

// Placement finds blocks for what one commit writes. Blocks of the committed generation are never
// given away, so it stays whole until the new header is durable. Blocks of the generation before
// that are given away only when nothing else fits, so that it survives as long as it can.
class Placement {
 public:
  Placement(std::uint64_t capacity_blocks, const format::FileTable& committed,
            const format::FileTable* previous);

  // place() gives the first of `blocks` contiguous blocks, the smallest hole that fits, the lowest
  // on a tie. They are taken from then on. kDenied if there is no such hole; nothing is taken then.
  base::Result<std::uint32_t> place(std::uint64_t blocks);

 private:
  struct Range {
    std::uint64_t first;
    std::uint64_t end;
  };

  [[nodiscard]] std::vector<Range> holes(bool spare_previous) const;

  std::uint64_t capacity_blocks_;
  std::vector<Range> busy_;
  std::vector<Range> previous_;
};

}  // namespace vmgs::volume
