// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/report.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include <cstdlib>
#include <fstream>

namespace tests::bench {

namespace {

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) {
      return line.substr(line.find(": ") + 2);
    }
  }
  return "unknown";
}

std::string load() {
  std::ifstream file("/proc/loadavg");
  std::string one;
  std::string five;
  file >> one >> five;
  return one + " " + five;
}

std::string file_system(const std::filesystem::path& folder) {
  struct statfs status {};

  if (::statfs(folder.c_str(), &status) != 0) {
    return "unknown";
  }
  switch (static_cast<unsigned long>(status.f_type)) {
    case 0xEF53:
      return "ext4";
    case 0x58465342:
      return "xfs";
    case 0x9123683E:
      return "btrfs";
    case 0x01021994:
      return "tmpfs";
    case 0x794C7630:
      return "overlayfs";
    default:
      return fmt::format("type {:#x}", static_cast<unsigned long>(status.f_type));
  }
}

}  // namespace

Report::Report(const std::filesystem::path& folder) {
  utsname system{};
  ::uname(&system);
  machine_ = {{"processor", processor()},
              {"kernel", system.release},
              {"file_system", file_system(folder)},
              {"openssl", OpenSSL_version(OPENSSL_VERSION)},
              {"load_at_start", load()}};
  for (const auto& [key, value] : machine_) {
    fmt::print("{:<14} {}\n", std::string(key), value.as_string().c_str());
  }
}

void Report::title(const std::string& name) {
  current_ = name;
  comparisons_[name] = boost::json::object{};
  fmt::print("\n{}\n", name);
}

void Report::sample(const std::string& name, const Sample& sample, const std::string& unit) {
  auto json = sample.json();
  json["unit"] = unit;
  comparisons_[current_].as_object()[name] = json;
  fmt::print("  {:<44} {} {}\n", name, sample.line(), unit);
}

void Report::figure(const std::string& name, double value, const std::string& unit) {
  comparisons_[current_].as_object()[name] = boost::json::object{{"value", value}, {"unit", unit}};
  fmt::print("  {:<52} {:.2f}{}{}\n", name, value, unit.empty() ? "" : " ", unit);
}

void Report::compare(const std::string& name, const Ratio& ratio, double aim) {
  comparisons_[current_].as_object()[name] = boost::json::object{
      {"ratio_of_medians", ratio.of_medians}, {"ratio_of_p05", ratio.of_p05}, {"aim", aim}};
  fmt::print("  {:<44} {:.2f} (by p05 {:.2f}), aim <= {:.2f}{}\n", name, ratio.of_medians,
             ratio.of_p05, aim, ratio.of_medians <= aim ? "" : "  MISSED");
}

void Report::note(const std::string& text) { fmt::print("  {}\n", text); }

boost::json::object Report::json() const {
  auto machine = machine_;
  machine["load_at_end"] = load();
  return {{"schema", "strongroom-bench-1"}, {"machine", machine}, {"comparisons", comparisons_}};
}

}  // namespace tests::bench
