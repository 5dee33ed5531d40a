// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tests::support {

// What a program that ran to its end left behind.
struct Ran {
  int status = 0;  // its exit status; 128 + n if signal n ended it
  std::string out;
  std::string err;
};

// run_command() runs the program at path argv[0] with `input` as its stdin and waits for its end.
// It ends this process if the program cannot be run.
Ran run_command(const std::vector<std::string>& argv, std::string_view input = {});

}  // namespace tests::support
