// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/golden.h"
#include "tests/support/temp_folder.h"

namespace tests::integration {

// The program `vmgs` as somebody uses it who wants to know about a file, in a folder of their own.
class VmgsInspector {
 public:
  [[nodiscard]] support::Ran vmgs(std::vector<std::string> arguments,
                                  std::string_view input = {}) const {
    arguments.insert(arguments.begin(), VMGS_TOOL);
    return support::run_command(arguments, input);
  }

  // The one document that a command answers with --json.
  [[nodiscard]] boost::json::value document(std::vector<std::string> arguments,
                                            int status = 0) const {
    arguments.emplace_back("--json");
    const auto ran = vmgs(arguments);
    EXPECT_EQ(ran.status, status) << ran.err << ran.out;
    std::error_code error;
    auto value = boost::json::parse(ran.out, error);
    EXPECT_FALSE(error) << ran.out;
    return value;
  }

  [[nodiscard]] std::string path(const std::string& name) const {
    return (folder_ / name).string();
  }

  [[nodiscard]] std::string make_file(const std::string& name, std::string_view content) const {
    std::ofstream(path(name), std::ios::binary | std::ios::trunc) << content;
    ::chmod(path(name).c_str(), 0600);
    return path(name);
  }

  [[nodiscard]] std::string make_file(const std::string& name, base::ByteView content) const {
    return make_file(
        name, std::string_view(reinterpret_cast<const char*>(content.data()), content.size()));
  }

  // A key file of 64 equal hexadecimal digits.
  [[nodiscard]] std::string make_key(const std::string& name, char digit) const {
    return make_file(name, std::string(64, digit) + "\n");
  }

  [[nodiscard]] std::string make_key(const std::string& name, const support::GoldenKey& key) const {
    return make_file(name, base::ByteView(key));
  }

  [[nodiscard]] std::string unpacked(const support::GoldenImage& image) const {
    return make_file("image.vmgs", support::golden_bytes(image));
  }

  [[nodiscard]] static std::string content(const std::filesystem::path& path) {
    std::string bytes(std::filesystem::file_size(path), '\0');
    std::ifstream(path, std::ios::binary)
        .read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return bytes;
  }

 private:
  support::TempFolder folder_;
};

}  // namespace tests::integration
