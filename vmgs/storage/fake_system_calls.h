// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace vmgs::storage {

// FakeSystemCalls makes some calls of the C library misbehave on demand, for the test program that
// links it: definitions in a program stand in front of those of a shared library. Left alone they
// do what the real ones do.
struct FakeSystemCalls {
  int fsync_error = 0;      // fails each fsync with this errno value
  int fdatasync_error = 0;  // fails each fdatasync with it
  bool rename_lacks_noreplace = false;
  std::function<void()> after_open = {};  // runs once, when the next open has returned

  // What was called, in order: "fsync file", "fsync folder", "fdatasync", "rename",
  // "forget pages".
  std::vector<std::string> calls = {};
};

// fake_system_calls() is the one that the calls obey; a test resets it with = {}.
FakeSystemCalls& fake_system_calls();

}  // namespace vmgs::storage
