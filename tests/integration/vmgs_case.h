// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"

namespace tests::integration {

// VmgsCase is the fixture of tests that run the program vmgs on files of their own.
class VmgsCase : public ::testing::Test {
 protected:
  static support::Ran vmgs(std::vector<std::string> arguments, std::string_view input = {}) {
    arguments.insert(arguments.begin(), VMGS_TOOL);
    return support::run_command(arguments, input);
  }

  // The one document that a command answers with --json.
  static boost::json::value document(std::vector<std::string> arguments, int status = 0,
                                     std::string_view input = {}) {
    arguments.emplace_back("--json");
    const auto ran = vmgs(std::move(arguments), input);
    EXPECT_EQ(ran.status, status) << ran.err;
    boost::json::error_code error;
    auto value = boost::json::parse(ran.out, error);
    EXPECT_FALSE(error) << ran.out;
    return value;
  }

  [[nodiscard]] std::string file(const std::string& name) const {
    return (folder_ / name).string();
  }

  [[nodiscard]] std::string make_file(const std::string& name, std::string_view content) const {
    std::ofstream(folder_ / name, std::ios::binary | std::ios::trunc) << content;
    ::chmod(file(name).c_str(), 0600);
    return file(name);
  }

  // A key file of 64 equal hexadecimal digits.
  [[nodiscard]] std::string make_key(const std::string& name, char digit) const {
    return make_file(name, std::string(64, digit));
  }

  static std::string content(const std::filesystem::path& path) {
    std::string bytes(std::filesystem::file_size(path), '\0');
    std::ifstream(path, std::ios::binary)
        .read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return bytes;
  }

  // How many undo files lie in the folder.
  [[nodiscard]] std::size_t undo_files() const {
    std::size_t found = 0;
    for (const auto& each : std::filesystem::directory_iterator(folder_.path())) {
      found += each.path().filename().string().find(".undo-") != std::string::npos ? 1U : 0U;
    }
    return found;
  }

  support::TempFolder folder_;
};

}  // namespace tests::integration
