// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/idle_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <thread>

namespace base {
namespace {

std::size_t page_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

// One character a page: 'x' where it is in memory.
std::string pages_in_memory(const void* begin, std::size_t pages) {
  std::string found(pages, '\0');
  // Of a private page the kernel tells only whether it is there.
  EXPECT_EQ(::mincore(const_cast<void*>(begin), pages * page_bytes(),
                      reinterpret_cast<unsigned char*>(found.data())),
            0);
  for (auto& page : found) {
    page = (page & 1) != 0 ? 'x' : '.';
  }
  return found;
}

TEST(IdleMemoryTest, KeepsWhatIsNotZero) {
  constexpr std::size_t kPages = 6;
  const auto page = page_bytes();
  void* const mapped =
      ::mmap(nullptr, kPages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  const std::span memory(static_cast<std::byte*>(mapped), kPages * page);
  for (std::size_t i = 0; i < kPages; ++i) {
    memory[i * page] = std::byte{1};
    memory[i * page] = std::byte{0};
  }
  memory[1 * page] = std::byte{7};
  memory[5 * page - 1] = std::byte{8};
  ASSERT_EQ(pages_in_memory(mapped, kPages), "xxxxxx");

  give_back_zero_pages(memory);

  EXPECT_EQ(pages_in_memory(mapped, kPages), ".x..x.");
  EXPECT_EQ(memory[1 * page], std::byte{7});
  EXPECT_EQ(memory[5 * page - 1], std::byte{8});
  EXPECT_EQ(memory[2 * page], std::byte{0});
  ::munmap(mapped, kPages * page);
}

// Gives the page in the middle of a large frame that is gone when it returns.
__attribute__((noinline)) std::uintptr_t use_much_stack() {
  std::array<volatile std::byte, 256 * 1024> frame;
  for (auto& each : frame) {
    each = std::byte{0x5a};
  }
  const auto middle = reinterpret_cast<std::uintptr_t>(&frame[frame.size() / 2]);
  return middle / page_bytes() * page_bytes();
}

void expect_stack_is_given_back() {
  volatile int mine = 5;
  const auto below = use_much_stack();
  ASSERT_EQ(pages_in_memory(reinterpret_cast<void*>(below), 1), "x");

  give_back_stack();

  EXPECT_EQ(pages_in_memory(reinterpret_cast<void*>(below), 1), ".");
  EXPECT_EQ(mine, 5);
}

TEST(IdleMemoryTest, GivesBackWhatCallsLeftOnTheStackOfTheFirstThread) {
  expect_stack_is_given_back();
}

TEST(IdleMemoryTest, GivesBackWhatCallsLeftOnTheStackOfAnotherThread) {
  std::thread(expect_stack_is_given_back).join();
}

}  // namespace
}  // namespace base
