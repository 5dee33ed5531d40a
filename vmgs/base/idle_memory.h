// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace base {

// A host runs a process for each VM, and most of them wait most of the time. These hand memory back
// to the system that a waiting process does not need. Any thread, for its own memory.

// give_back_stack() hands back what deeper calls of this thread have left behind on its stack; what
// they left there is gone with it.
void give_back_stack();

// give_back_zero_pages() hands back those pages of `memory` that hold nothing but zeros: they read
// as zeros as before, and take no room until somebody writes to them. `memory` is private and
// anonymous, begins at a page, and nobody writes to it meanwhile.
void give_back_zero_pages(std::span<std::byte> memory);

}  // namespace base
