// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/host.h"

#include <boost/json/parse.hpp>

#include "tests/support/command.h"

namespace tests::bench {

base::Result<Host> Host::start(const std::filesystem::path& programs,
                               const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder / "run");
  TRY_ASSIGN(process,
             support::Process::start({programs / "vtpmd", "--state", folder / "state", "--runtime",
                                      folder / "run", "--instance", programs / "vtpm-instance-sim"},
                                     {.output = folder / "log"}));
  if (!support::wait_for_socket(folder / "run" / "vtpmd.sock", process, std::chrono::seconds(20))) {
    return base::fail(base::ErrorCode::kUnavailable, "vtpmd does not start: see its log");
  }
  return Host(programs, folder, std::move(process));
}

base::Result<Host::Vm> Host::create(const std::string& name) const {
  const auto ran = support::run_command({programs_ / "vtpmctl", "create", name, "--json",
                                         "--socket", folder_ / "run" / "vtpmd.sock"});
  boost::json::error_code invalid;
  const auto document = boost::json::parse(ran.out, invalid);
  if (ran.status != 0 || invalid || !document.is_object()) {
    return base::fail(base::ErrorCode::kUnavailable, "vtpmctl create: " + ran.err);
  }
  const auto& vm = document.get_object();
  return Vm{std::string(vm.at("control_socket").as_string()),
            static_cast<pid_t>(vm.at("pid").to_number<std::int64_t>())};
}

}  // namespace tests::bench
