// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "vmgs/base/bytes.h"

namespace tests::support {

// copies_in_memory() is how often some bytes lie in what this process may write: heap, what was
// freed, and all stacks. They are given as their complement, or the question would find itself.
// Other threads must be at rest.
std::size_t copies_in_memory(base::ByteView complement);

// write_complement() writes the bytes themselves to `to`, which has as many.
void write_complement(base::ByteView complement, std::span<std::byte> to);

}  // namespace tests::support
