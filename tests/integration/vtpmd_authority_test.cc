// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "tests/integration/vtpmd.h"
#include "tests/support/temp_folder.h"

// vtpmd's AK certificate authority as an operator and a relying party meet it. What a guest finds
// in its TPM is in vtpmd_certificates_test.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using support::TempFolder;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kOpenssl = "/usr/bin/openssl";

class VtpmdAuthorityTest : public testing::Test {
 protected:
  // restart() is a vtpmd with this section [authority] on the same folders.
  void restart(const std::string& settings = "") {
    if (vtpmd_) {
      EXPECT_EQ(vtpmd_->stop(), 0) << vtpmd_->log();
    }
    std::ofstream(folder_ / "vtpmd.toml") << "[authority]\n" << settings;
    vtpmd_.emplace(folder_.path(), VTPM_INSTANCE,
                   std::vector<std::string>{"--config", folder_ / "vtpmd.toml"});
  }

  // refusal() is how a vtpmd with these settings ends that does not start.
  std::string refusal(const std::string& settings = "") {
    if (vtpmd_) {
      EXPECT_EQ(vtpmd_->stop(), 0) << vtpmd_->log();
      vtpmd_.reset();
    }
    std::ofstream(folder_ / "vtpmd.toml") << "[authority]\n" << settings;
    const auto ran =
        support::run_command({VTPMD, "--state", folder_ / "state", "--runtime", folder_ / "run",
                              "--instance", VTPM_INSTANCE, "--config", folder_ / "vtpmd.toml"});
    EXPECT_NE(ran.status, 0);
    return ran.err;
  }

  [[nodiscard]] fs::path authority() const { return folder_ / "state/authority"; }

  [[nodiscard]] std::string text(std::vector<std::string> arguments) const {
    const auto ran = vtpmd_->ctl(std::move(arguments));
    EXPECT_EQ(ran.status, 0) << ran.err << vtpmd_->log();
    return ran.out;
  }

  // The AK certificates of a VM, as the authority has them.
  [[nodiscard]] std::vector<boost::json::object> aks(const std::string& vm) const {
    std::vector<boost::json::object> found;
    const auto listed = vtpmd_->ctl_json({"certificates", vm});
    for (const auto& each : listed.at("certificates").as_array()) {
      if (each.at("key").as_string() == "ak") {
        found.push_back(each.as_object());
      }
    }
    return found;
  }

  static bool is_revoked(const boost::json::object& certificate) {
    const auto* revoked = certificate.if_contains("revoked_at");
    return revoked != nullptr && revoked->is_string();
  }

  // Whether a relying party takes a certificate that has only the roots and a fresh list, by
  // OpenSSL.
  support::Ran judge(const std::string& certificate_pem) const {
    std::ofstream(folder_ / "leaf.pem") << certificate_pem;
    std::ofstream(folder_ / "roots.pem") << text({"authority", "roots", "--class", "host"});
    std::ofstream(folder_ / "crl.pem") << text({"authority", "crl", "--class", "host"});
    const auto listed = vtpmd_->ctl_json({"authority", "show", "--class", "host"});
    std::ofstream(folder_ / "issuer.pem")
        << listed.at("authorities").at(0).at("issuer").at("pem").as_string().c_str();
    return support::run_command({kOpenssl, "verify", "-CAfile", folder_ / "roots.pem", "-untrusted",
                                 folder_ / "issuer.pem", "-crl_check", "-CRLfile",
                                 folder_ / "crl.pem", folder_ / "leaf.pem"});
  }

  static std::string pem_of(const boost::json::object& certificate) {
    return std::string(certificate.at("pem").as_string());
  }

  TempFolder folder_;
  std::optional<Vtpmd> vtpmd_;
};

TEST_F(VtpmdAuthorityTest, ACertificateLeadsToTheRootUntilItsVmIsDeleted) {
  restart();
  const auto vm_id = vtpmd_->text_in(vtpmd_->create("web1"), "vm_id");
  vtpmd_->wait_for("web1", "ready");
  ASSERT_EQ(aks("web1").size(), 1U) << vtpmd_->log();
  const auto certificate = aks("web1").front();
  EXPECT_EQ(certificate.at("class").as_string(), "host");
  EXPECT_FALSE(is_revoked(certificate));
  const auto taken = judge(pem_of(certificate));
  EXPECT_EQ(taken.status, 0) << taken.out << taken.err;
  EXPECT_THAT(text({"show", "web1"}), HasSubstr("certificate class host, until 20"));

  EXPECT_EQ(vtpmd_->ctl({"stop", "web1"}).status, 0);
  EXPECT_EQ(vtpmd_->ctl({"delete", "web1", "--yes"}).status, 0) << vtpmd_->log();

  const auto refused = judge(pem_of(certificate));
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.out + refused.err, HasSubstr("certificate revoked"));
  EXPECT_TRUE(is_revoked(aks(vm_id).front()));
  EXPECT_EQ(vtpmd_->ctl({"certificates", "web1"}).status, 4);
}

TEST_F(VtpmdAuthorityTest, AnOperatorRevokesAndTheListSaysSo) {
  restart();
  (void)vtpmd_->create("web1");
  vtpmd_->wait_for("web1", "ready");
  const auto certificate = aks("web1").front();
  const auto revoked = vtpmd_->ctl_json({"revoke", "web1"});
  EXPECT_GE(revoked.at("revoked").as_int64(), 1);
  EXPECT_THAT(judge(pem_of(certificate)).err, HasSubstr("revoked"));
  EXPECT_THAT(text({"show", "web1"}), HasSubstr("REVOKED"));
  EXPECT_EQ(vtpmd_->ctl_json({"revoke", "web1"}).at("revoked").as_int64(), 0);
  const auto by_der = vtpmd_->ctl({"authority", "crl", "--class", "host", "--der"});
  EXPECT_EQ(by_der.out.substr(0, 1), "\x30");
}

TEST_F(VtpmdAuthorityTest, WhatWasIssuedAndRevokedOutlivesAKill) {
  restart();
  const auto roots = text({"authority", "roots"});
  (void)vtpmd_->create("kept");
  (void)vtpmd_->create("taken");
  vtpmd_->wait_for("kept", "ready");
  vtpmd_->wait_for("taken", "ready");
  const auto kept = aks("kept").front();
  const auto taken = aks("taken").front();
  EXPECT_EQ(vtpmd_->ctl({"revoke", "taken"}).status, 0);
  vtpmd_->kill();
  vtpmd_->start();
  EXPECT_EQ(text({"authority", "roots"}), roots);
  EXPECT_EQ(judge(pem_of(kept)).status, 0);
  EXPECT_THAT(judge(pem_of(taken)).err, HasSubstr("revoked"));
  EXPECT_EQ(aks("kept").front(), kept);
}

// A crash after a VM is gone and before its certificates are revoked: the authority as it was.
TEST_F(VtpmdAuthorityTest, TheNextVtpmdRevokesWhatADeletionLeftBehind) {
  restart();
  (void)vtpmd_->create("gone");
  (void)vtpmd_->create("here");
  vtpmd_->wait_for("gone", "ready");
  vtpmd_->wait_for("here", "ready");
  const auto gone = aks("gone").front();
  const auto here = aks("here").front();
  EXPECT_EQ(vtpmd_->stop(), 0);
  fs::copy(authority(), folder_ / "before", fs::copy_options::recursive);
  vtpmd_->start();
  EXPECT_EQ(vtpmd_->ctl({"delete", "gone", "--yes"}).status, 0) << vtpmd_->log();
  EXPECT_EQ(vtpmd_->stop(), 0);
  fs::remove_all(authority());
  fs::copy(folder_ / "before", authority(), fs::copy_options::recursive);
  fs::permissions(authority(), fs::perms::owner_all);
  vtpmd_->start();
  EXPECT_THAT(judge(pem_of(gone)).err, HasSubstr("revoked")) << vtpmd_->log();
  EXPECT_EQ(judge(pem_of(here)).status, 0);
}

TEST_F(VtpmdAuthorityTest, ADamagedCaIsSaidAndNeverReplaced) {
  restart();
  const auto file = authority() / "host.pem";
  const auto size = fs::file_size(file) / 2;
  EXPECT_EQ(vtpmd_->stop(), 0);
  vtpmd_.reset();
  fs::resize_file(file, size);
  EXPECT_THAT(refusal(), HasSubstr(file.string() + " is damaged"));
  EXPECT_EQ(fs::file_size(file), size);
  // Without it a new one is made, and the other class keeps its own.
  fs::remove(file);
  restart();
  EXPECT_EQ(vtpmd_->ctl_json({"authority", "show"}).at("authorities").as_array().size(), 2U);
}

TEST_F(VtpmdAuthorityTest, SettingsAreReadWhenItStarts) {
  restart("key = \"rsa3072\"\ncertificate_days = 1\n");
  const auto shown = text({"authority", "show"});
  EXPECT_THAT(shown, HasSubstr("RSA-3072"));
  EXPECT_THAT(shown, Not(HasSubstr("ECDSA")));
  (void)vtpmd_->create("web1");
  vtpmd_->wait_for("web1", "ready");
  const auto certificate = aks("web1").front();
  EXPECT_EQ(judge(pem_of(certificate)).status, 0);
  const auto seconds = [&](const char* field) {
    return support::run_command(
               {"/bin/date", "-d", certificate.at(field).as_string().c_str(), "+%s"})
        .out;
  };
  EXPECT_EQ(std::stoll(seconds("not_after")) - std::stoll(seconds("not_before")), 24 * 60 * 60);
}

TEST_F(VtpmdAuthorityTest, FaultsOfWhatSettingsNameAreReportedWithTheFile) {
  const auto file = [&](const std::string& name, const std::string& content) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << content;
    return (folder_ / name).string();
  };
  const auto policy = file("policy.json", R"({"schema": "strongroom.policy/1", "snq": {}})");
  EXPECT_THAT(refusal("policy = \"" + policy + "\"\n"), AllOf(HasSubstr(policy), HasSubstr("snq")));
  const auto missing = (folder_ / "nowhere.json").string();
  EXPECT_THAT(refusal("policy = \"" + missing + "\"\n"), HasSubstr(missing));
  const auto roots = file("roots.pem", "no certificate");
  EXPECT_THAT(refusal("simulated_roots = \"" + roots + "\"\n"), HasSubstr(roots));
  const auto crl = file("collateral/amd/milan.crl", "no list");
  EXPECT_THAT(refusal("collateral = \"" + (folder_ / "collateral").string() + "\"\n"),
              HasSubstr(crl));
  EXPECT_THAT(refusal("certificate_days = 0\n"), HasSubstr("certificate_days"));
}

// An authority's own CA is no simulator's root.
TEST_F(VtpmdAuthorityTest, RootsOfSomethingElseAreNoSimulators) {
  restart();
  std::ofstream(folder_ / "roots.pem") << text({"authority", "roots", "--class", "cvm"});
  EXPECT_EQ(vtpmd_->ctl({"authority", "crl", "--class", "simulated"}).status, 4);
  EXPECT_THAT(refusal("simulated_roots = \"" + (folder_ / "roots.pem").string() + "\"\n"),
              HasSubstr("no root of a simulator"));
}

}  // namespace
}  // namespace tests::integration
