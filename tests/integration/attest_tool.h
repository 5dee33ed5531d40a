// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "keybroker/evidence/bundle.h"
#include "tests/support/command.h"
#include "tests/support/simulated_guest.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/base64.h"

namespace tests::integration {

inline constexpr const char* kMintBegin = "2026-01-01T12:00:00Z";  // mint_begin()

// AttestTool runs the real program, and makes files for it in a folder of the test.
class AttestTool : public ::testing::Test {
 protected:
  support::Ran attest(std::vector<std::string> arguments, std::string_view input = {}) const {
    arguments.insert(arguments.begin(), ATTEST_TOOL);
    return support::run_command(arguments, input);
  }

  boost::json::object document(std::vector<std::string> arguments, int status) const {
    arguments.emplace_back("--json");
    const auto ran = attest(std::move(arguments));
    EXPECT_EQ(ran.status, status) << ran.out << ran.err;
    std::error_code error;
    auto value = boost::json::parse(ran.out, error);
    EXPECT_FALSE(error) << ran.out;
    return value.is_object() ? value.get_object() : boost::json::object();
  }

  std::string make_file(const std::string& name, std::string_view content) const {
    const auto path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    return path.string();
  }

  std::string make_file(const std::string& name, const base::Bytes& content) const {
    return make_file(
        name, std::string_view(reinterpret_cast<const char*>(content.data()), content.size()));
  }

  static std::string pem(const keybroker::crypto::Certificate& certificate) {
    auto text = vmgs::crypto::encode_base64(certificate.der(), vmgs::crypto::Base64::kPadded);
    for (std::size_t at = 64; at < text.size(); at += 65) {
      text.insert(at, "\n");
    }
    return "-----BEGIN CERTIFICATE-----\n" + text + "\n-----END CERTIFICATE-----\n";
  }

  // A simulated guest's bundle, policy, collateral and root.
  void make_simulated() {
    const auto guest = support::booted();
    evidence_ = guest.evidence();
    bundle_ = make_file("bundle.json", *encode_bundle(evidence_));
    policy_ = make_file("policy.json",
                        boost::json::serialize(boost::json::object{
                            {"schema", "strongroom.policy/1"},
                            {"vm_id", guest.runtime.vm.vm_unique_id},
                            {"hcl", {{"form", "own"}}},
                            {"snp", {{"measurement", base::to_hex(guest.report.measurement)}}},
                            {"quote", {{"required", true}}},
                            {"log", {{"required", true}}},
                            {"boot", {{"secure_boot", "required"}}}}));
    make_file("collateral/amd/Genoa.crl", guest.collateral().snp_crls.front().der());
    root_ = make_file("root.pem", pem(support::snp_mint(guest.product).ark()));
    nonce_ = base::to_hex(guest.nonce);
  }

  [[nodiscard]] std::vector<std::string> verify(std::vector<std::string> more = {}) const {
    std::vector<std::string> all{
        "verify",   bundle_,   "--policy", policy_,        "--at",
        kMintBegin, "--nonce", nonce_,     "--collateral", (folder_ / "collateral").string()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  support::TempFolder folder_;
  keybroker::evidence::Evidence evidence_;
  std::string bundle_;
  std::string policy_;
  std::string root_;
  std::string nonce_;
};

}  // namespace tests::integration
