// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "tests/integration/instance.h"
#include "tests/support/command.h"
#include "tests/support/hypervisor.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"

namespace tests::integration {

// The number that a guest has put into its TPM.
inline constexpr std::uint32_t kMigratedIndex = 0x01500016;

// MigratingHost is a host: its files, and an instance of the VM's if it runs there.
class MigratingHost {
 public:
  enum class Form { kSealed, kPlain };

  explicit MigratingHost(Form form = Form::kSealed) : form_(form) {}

  [[nodiscard]] std::vector<std::string> options(const std::vector<std::string>& more,
                                                 const std::filesystem::path& store) const {
    std::vector<std::string> all = {"--vmgs", store};
    if (form_ == Form::kSealed) {
      all.insert(all.end(), {"--state-blobs", "sealed", "--migration-ticket", ticket()});
    } else {
      all.insert(all.end(), {"--state-blobs", "plain"});
    }
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  [[nodiscard]] std::filesystem::path store() const { return folder_ / "vm.vmgs"; }

  [[nodiscard]] std::filesystem::path ticket() const { return folder_ / "ticket"; }

  [[nodiscard]] std::filesystem::path released() const { return ticket().string() + ".released"; }

  // start() begins to serve, and is false if the instance refuses.
  bool start(const std::vector<std::string>& more = {}) { return start(more, store()); }

  // With a store that another host has, too.
  bool start(const std::vector<std::string>& more, const std::filesystem::path& store) {
    stop();
    std::filesystem::remove(folder_ / "ctrl");
    std::vector<std::string> argv = {VTPM_INSTANCE, "--ctrl", folder_ / "ctrl"};
    for (const auto& option : options(more, store)) {
      argv.push_back(option);
    }
    process_ = *support::Process::start(argv, {.output = folder_ / "log"});
    if (!support::wait_for_socket(folder_ / "ctrl", *process_, std::chrono::seconds(20))) {
      process_->wait(std::chrono::seconds(20));
      process_.reset();
      return false;
    }
    qemu_ = *support::Hypervisor::connect(folder_ / "ctrl");
    EXPECT_EQ(qemu_->set_data_descriptor(), 0U);
    return true;
  }

  bool boot(const std::vector<std::string>& more = {}) {
    return start(more) && qemu_->init() == 0U && run(support::startup_clear()) == support::kSuccess;
  }

  void kill() {
    process_->signal(SIGKILL);
    process_->wait(std::chrono::seconds(20));
    stop();
  }

  void stop() {
    qemu_.reset();
    process_.reset();
  }

  // release() gives back what was offered to this host's ticket, as its operator does.
  [[nodiscard]] bool release() const {
    std::vector<std::string> argv = {VTPM_INSTANCE, "--ctrl", folder_ / "unused"};
    for (const auto& option : options({"--release-ticket"}, store())) {
      argv.push_back(option);
    }
    return support::run_command(argv).status == 0;
  }

  support::Hypervisor& qemu() { return *qemu_; }

  // let_store() has the instance's files grow no further than this from now on.
  void let_store(rlim_t bytes) {
    const rlimit limit{.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    ASSERT_EQ(::prlimit(process_->pid(), RLIMIT_FSIZE, &limit, nullptr), 0);
  }

  void reconnect() {
    qemu_.reset();
    qemu_ = *support::Hypervisor::connect(folder_ / "ctrl");
    EXPECT_EQ(qemu_->set_data_descriptor(), 0U);
  }

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }

  [[nodiscard]] support::Hypervisor another_client() const {
    return *support::Hypervisor::connect(folder_ / "ctrl");
  }

  support::Process& process() { return *process_; }

  std::uint32_t run(const base::Bytes& command) {
    const auto response = qemu_->command(command);
    return response ? support::response_code(*response) : 0xffffffff;
  }

  base::Bytes pcr() { return support::pcr_value(*qemu_->command(support::pcr_read(16))); }

  base::Bytes nv() {
    const auto response = qemu_->command(support::nv_read(kMigratedIndex, 8));
    return response ? support::nv_data(*response) : base::Bytes();
  }

  [[nodiscard]] std::string log() const {
    std::ifstream file(folder_ / "log");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

 private:
  const Form form_;
  support::TempFolder folder_;
  std::optional<support::Process> process_;
  std::optional<support::Hypervisor> qemu_;
};

}  // namespace tests::integration
