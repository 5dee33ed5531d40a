// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/idle_memory.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace base {

namespace {

std::uintptr_t page_bytes() { return static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE)); }

// The lowest address that this thread's stack may ever reach.
std::byte* end_of_stack() {
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) {
    return nullptr;
  }
  void* low = nullptr;
  std::size_t size = 0;
  const bool known = ::pthread_attr_getstack(&attributes, &low, &size) == 0;
  ::pthread_attr_destroy(&attributes);
  return known ? static_cast<std::byte*>(low) : nullptr;
}

bool is_zero(std::span<const std::byte> page) {
  return std::all_of(page.begin(), page.end(), [](std::byte each) { return each == std::byte{0}; });
}

}  // namespace

__attribute__((noinline)) void give_back_stack() {
  auto* const low = end_of_stack();
  // A page of margin: the call below uses the stack, too.
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const auto high = here / page_bytes() * page_bytes() - page_bytes();
  const auto begin = reinterpret_cast<std::uintptr_t>(low);
  if (low != nullptr && begin < high) {
    // The stack of a process' first thread grows as it is used; that there is nothing further down
    // yet is an error which comes after all that is there was handed back.
    [[maybe_unused]] const int ignored = ::madvise(low, high - begin, MADV_DONTNEED);
  }
}

void give_back_zero_pages(std::span<std::byte> memory) {
  const auto page = page_bytes();
  const auto is_zero_at = [&](std::size_t at) { return is_zero(memory.subspan(at, page)); };
  for (std::size_t at = 0; at + page <= memory.size();) {
    std::size_t end = at;
    while (end + page <= memory.size() && is_zero_at(end)) {
      end += page;
    }
    if (end > at) {
      [[maybe_unused]] const int ignored = ::madvise(&memory[at], end - at, MADV_DONTNEED);
    }
    at = end + page;
  }
}

}  // namespace base
