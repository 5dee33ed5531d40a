// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/process.h"
#include "tests/support/socket_client.h"
#include "tests/support/temp_folder.h"

namespace tests::integration {

// The programs of one kind: swtpm's own, or ours in their place.
struct SwtpmPrograms {
  std::string name;
  std::string swtpm;
  std::string setup;
};

inline SwtpmPrograms theirs() { return {"swtpm", "/usr/bin/swtpm", "/usr/bin/swtpm_setup"}; }

inline SwtpmPrograms ours() { return {"ours", SWTPM_DROP_IN, SWTPM_SETUP_DROP_IN}; }

// SwtpmProgram is one of them at work in a folder, with its data channel at FOLDER/tpm and its
// control channel at FOLDER/tpm.ctrl, where tpm2-tools look for it. It is killed when this dies.
class SwtpmProgram {
 public:
  SwtpmProgram(const SwtpmPrograms& programs, const std::filesystem::path& folder,
               const std::vector<std::string>& options = {})
      : folder_(folder), process_(start(programs, folder, options)) {
    for (const char* socket : {"tpm.ctrl", "tpm"}) {
      EXPECT_TRUE(support::wait_for_socket(folder / socket, process_, std::chrono::seconds(20)))
          << log();
    }
  }

  // ioctl() runs swtpm_ioctl, which is swtpm's own always.
  [[nodiscard]] support::Ran ioctl(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"/usr/bin/swtpm_ioctl", "--unix", folder_ / "tpm.ctrl"});
    return support::run_command(arguments);
  }

  // succeeds() does so, and expects that it works.
  void succeeds(const std::vector<std::string>& arguments) const {
    const auto ran = ioctl(arguments);
    EXPECT_EQ(ran.status, 0) << arguments.front() << ": " << ran.out << ran.err << log();
  }

  // command() sends one TPM command by a connection of its own, all in hexadecimal.
  [[nodiscard]] std::string command(const std::string& hex) const {
    auto client = support::SocketClient::connect(folder_ / "tpm");
    client.send_hex(hex);
    return base::to_hex(client.receive_once());
  }

  // shut_down() ends it by its control channel and gives its exit status.
  int shut_down() {
    succeeds({"-s"});
    return wait();
  }

  int wait() { return process_.wait(std::chrono::seconds(20)).value_or(-1); }

  support::Process& process() { return process_; }

  [[nodiscard]] std::string log() const {
    std::ifstream file(folder_ / "log");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

 private:
  static support::Process start(const SwtpmPrograms& programs, const std::filesystem::path& folder,
                                const std::vector<std::string>& options) {
    std::vector<std::string> argv = {programs.swtpm,
                                     "socket",
                                     "--tpm2",
                                     "--tpmstate",
                                     "dir=" + folder.string(),
                                     "--ctrl",
                                     "type=unixio,path=" + (folder / "tpm.ctrl").string(),
                                     "--server",
                                     "type=unixio,path=" + (folder / "tpm").string()};
    argv.insert(argv.end(), options.begin(), options.end());
    return *support::Process::start(argv, {.output = folder / "log"});
  }

  std::filesystem::path folder_;
  support::Process process_;
};

}  // namespace tests::integration
