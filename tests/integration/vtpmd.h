// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/hypervisor.h"
#include "tests/support/process.h"
#include "vmgs/base/descriptor.h"

namespace tests::integration {

// Vtpmd is a real vtpmd with its folders inside a folder of the test, and vtpmctl to talk to it. It
// is killed when this dies, and with it go the instances that have no guest.
class Vtpmd {
 public:
  explicit Vtpmd(const std::filesystem::path& folder, std::string instance = VTPM_INSTANCE,
                 std::vector<std::string> options = {})
      : folder_(folder), instance_(std::move(instance)), options_(std::move(options)) {
    std::filesystem::create_directories(runtime());
    start();
  }

  // start() starts another one, after kill() or stop(), and waits until it answers.
  void start() {
    process_.emplace(*support::Process::start(command_line(), {.output = folder_ / "log"}));
    EXPECT_TRUE(support::wait_for_socket(socket(), *process_, std::chrono::seconds(20))) << log();
  }

  void kill() { process_->kill(); }

  // stop() asks for an orderly end and gives the exit status, -1 if it does not end.
  int stop() {
    process_->signal(SIGTERM);
    return process_->wait(std::chrono::seconds(30)).value_or(-1);
  }

  support::Process& process() { return *process_; }

  [[nodiscard]] std::vector<std::string> command_line() const {
    std::vector<std::string> line = {VTPMD,     "--state",    state(),  "--runtime",
                                     runtime(), "--instance", instance_};
    line.insert(line.end(), options_.begin(), options_.end());
    return line;
  }

  [[nodiscard]] std::filesystem::path state() const { return folder_ / "state"; }

  [[nodiscard]] std::filesystem::path runtime() const { return folder_ / "run"; }

  [[nodiscard]] std::filesystem::path socket() const { return runtime() / "vtpmd.sock"; }

  [[nodiscard]] std::string log() const {
    std::ifstream file(folder_ / "log");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  // ctl() runs vtpmctl.
  [[nodiscard]] support::Ran ctl(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), VTPMCTL);
    arguments.insert(arguments.end(), {"--socket", socket()});
    return support::run_command(arguments);
  }

  // ctl_json() runs it with --json, expects that exit status and gives the document.
  [[nodiscard]] boost::json::object ctl_json(std::vector<std::string> arguments,
                                             int status = 0) const {
    arguments.emplace_back("--json");
    const auto ran = ctl(arguments);
    EXPECT_EQ(ran.status, status) << ran.out << ran.err << log();
    boost::json::error_code invalid;
    auto value = boost::json::parse(ran.out, invalid);
    EXPECT_FALSE(invalid) << ran.out;
    return invalid || !value.is_object() ? boost::json::object() : value.get_object();
  }

  [[nodiscard]] boost::json::object create(const std::string& name,
                                           std::vector<std::string> options = {}) const {
    options.insert(options.begin(), {"create", name});
    return ctl_json(options);
  }

  [[nodiscard]] boost::json::object show(const std::string& name) const {
    return ctl_json({"show", name});
  }

  // text() is a field of show(); "a.b" is field b of field a.
  [[nodiscard]] std::string text(const std::string& name, const std::string& field) const {
    return text_in(show(name), field);
  }

  static std::string text_in(const boost::json::object& object, const std::string& field) {
    const auto dot = field.find('.');
    const auto* value = object.if_contains(field.substr(0, dot));
    if (value == nullptr) {
      ADD_FAILURE() << "no field " << field << " in " << boost::json::serialize(object);
      return "";
    }
    if (dot != std::string::npos) {
      return text_in(value->as_object(), field.substr(dot + 1));
    }
    return value->is_string() ? std::string(value->get_string()) : boost::json::serialize(*value);
  }

  [[nodiscard]] std::string readiness(const std::string& name) const {
    return text(name, "readiness.name");
  }

  // pid() is that of a VM's instance, to be killed: never 0, which would mean this process too.
  [[nodiscard]] int pid(const std::string& name) const {
    const int pid = std::stoi(text(name, "pid"));
    EXPECT_GT(pid, 0) << name << " has no instance";
    return pid > 0 ? pid : std::numeric_limits<int>::max();
  }

  // Watch is a `vtpmctl watch --json` that runs until this dies.
  class Watch {
   public:
    Watch(const Vtpmd& vtpmd, const std::vector<std::string>& options) {
      static int count = 0;
      const auto pipe = vtpmd.folder_ / ("watch" + std::to_string(++count));
      EXPECT_EQ(mkfifo(pipe.c_str(), 0600), 0);
      // Open for writing as well, so that neither side waits for the other to open it.
      lines_ = base::Descriptor(open(pipe.c_str(), O_RDWR | O_CLOEXEC));
      std::vector<std::string> argv = {VTPMCTL, "watch", "--json", "--socket", vtpmd.socket()};
      argv.insert(argv.end(), options.begin(), options.end());
      process_.emplace(*support::Process::start(argv, {.output = pipe}));
    }

    // next() is the next change; an empty object if there is none for 20 seconds.
    boost::json::object next() {
      for (;;) {
        const auto end = pending_.find('\n');
        if (end != std::string::npos) {
          const auto line = pending_.substr(0, end);
          pending_.erase(0, end + 1);
          return boost::json::parse(line).as_object();
        }
        pollfd readable{lines_.number(), POLLIN, 0};
        if (poll(&readable, 1, 20'000) != 1) {
          ADD_FAILURE() << "no change";
          return {};
        }
        std::array<char, 4096> piece{};
        const auto got = read(lines_.number(), piece.data(), piece.size());
        pending_.append(piece.data(), static_cast<std::size_t>(got));
      }
    }

   private:
    base::Descriptor lines_;
    std::optional<support::Process> process_;
    std::string pending_;
  };

  // wait_for() waits until a VM's readiness is `wanted`, by watching, not by asking again.
  void wait_for(const std::string& name, const std::string& wanted) const {
    Watch watch(*this, {name});
    for (auto change = watch.next(); !change.empty(); change = watch.next()) {
      if (change.contains("vm") && text_in(change, "vm.readiness.name") == wanted) {
        return;
      }
    }
    ADD_FAILURE() << name << " did not become " << wanted << log();
  }

  // attach() is what a hypervisor does when its VM is powered on.
  [[nodiscard]] support::Hypervisor attach(const std::string& name) const {
    auto hypervisor = support::Hypervisor::attach(text(name, "control_socket"));
    EXPECT_TRUE(hypervisor) << hypervisor.error().message << log();
    return *std::move(hypervisor);
  }

 private:
  std::filesystem::path folder_;
  std::string instance_;
  std::vector<std::string> options_;
  std::optional<support::Process> process_;
};

}  // namespace tests::integration
