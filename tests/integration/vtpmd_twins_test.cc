// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <array>
#include <set>

#include "tests/integration/guest.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;
namespace tpm = support;
using support::Hypervisor;

// What was drawn, by whom: each must be drawn once.
class VtpmdTwinsTest : public VtpmdTest {
 protected:
  void draw(const std::string& what, const base::Bytes& bytes) {
    ++draws_;
    const auto [found, is_new] = drawn_.insert(base::to_hex(bytes));
    EXPECT_TRUE(is_new) << what << " was drawn before: " << *found;
  }

  void draw(const std::string& what, const std::string& text) {
    draw(what, base::copy_of(base::bytes_of(text)));
  }

  static std::string content_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  // The secrets and nonces of a TPM that has just been started.
  void draw_from(Hypervisor& hypervisor, const std::string& whose) {
    for (int i = 0; i < 8; ++i) {
      draw("random number of " + whose, tpm::random_data(send(hypervisor, tpm::get_random(16))));
    }
    for (int i = 0; i < 2; ++i) {
      const auto session = send(hypervisor, tpm::start_auth_session());
      ASSERT_EQ(support::response_code(session), tpm::kSuccess);
      draw("nonce of " + whose, tpm::session_nonce(session));
    }
    // The null hierarchy has a new seed each time the TPM is reset.
    const auto key = send(hypervisor, tpm::create_primary_ecc(tpm::kNullHierarchy));
    ASSERT_EQ(support::response_code(key), tpm::kSuccess);
    draw("null key of " + whose, key);
  }

  std::set<std::string> drawn_;
  std::size_t draws_ = 0;
};

constexpr std::array kNames = {"a", "b", "c", "d", "e", "f"};

TEST_F(VtpmdTwinsTest, ChildrenOfOneParentDrawNothingTwice) {
  // None of them serves yet when the next is forked.
  for (const auto* name : kNames) {
    const auto vm = vtpmd_.create(name);
    draw("VM id", Vtpmd::text_in(vm, "vm_id"));
    const fs::path store = Vtpmd::text_in(vm, "store_path");
    draw("host key", content_of(store.parent_path() / "vm.key"));
  }
  for (const auto* name : kNames) {
    auto hypervisor = boot(name);
    draw_from(hypervisor, name);
    const auto key = send(hypervisor, tpm::create_primary_ecc(tpm::kOwner));
    ASSERT_EQ(support::response_code(key), tpm::kSuccess);
    draw(std::string("owner key of ") + name, key);
  }
  EXPECT_EQ(drawn_.size(), draws_);
}

// A snapshot of the host's disk, gone on with twice.
TEST_F(VtpmdTwinsTest, TwoStartsFromOneCopyOfAStoreDrawNothingTwice) {
  const auto vm = vtpmd_.create("a");
  const fs::path store = Vtpmd::text_in(vm, "store_path");
  {
    auto hypervisor = boot("a");
    define_and_write(hypervisor, 1);
    draw_from(hypervisor, "the original");
    // An orderly end keeps the state of the TPM's generator in the store.
    ASSERT_EQ(run(hypervisor, tpm::shutdown_state()), tpm::kSuccess);
    ASSERT_EQ(hypervisor.result(support::Control::kShutdown).value_or(99), 0U);
  }
  vtpmd_.wait_for("a", "stopped");
  fs::copy_file(store, folder_ / "snapshot");

  for (const auto* copy : {"the first copy", "the second copy"}) {
    fs::copy_file(folder_ / "snapshot", store, fs::copy_options::overwrite_existing);
    {
      auto hypervisor = vtpmd_.attach("a");
      ASSERT_EQ(run(hypervisor, tpm::startup_state()), tpm::kSuccess);
      EXPECT_EQ(nv(hypervisor), data_of(1));
      for (int i = 0; i < 8; ++i) {
        draw(std::string("random number of ") + copy,
             tpm::random_data(send(hypervisor, tpm::get_random(16))));
      }
      const auto session = send(hypervisor, tpm::start_auth_session());
      ASSERT_EQ(support::response_code(session), tpm::kSuccess);
      draw(std::string("nonce of ") + copy, tpm::session_nonce(session));
      ASSERT_EQ(hypervisor.result(support::Control::kShutdown).value_or(99), 0U);
    }
    vtpmd_.wait_for("a", "stopped");
  }
  EXPECT_EQ(drawn_.size(), draws_);
}

// A snapshot of a running TPM: what migration and memory snapshots carry.
TEST_F(VtpmdTwinsTest, TwoResumesOfOneRunningTpmDrawNothingTwice) {
  (void)vtpmd_.create("a", {"--state-blobs", "plain"});
  auto hypervisor = boot("a");
  const auto permanent = *hypervisor.get_state_blob(1);
  const auto transient = *hypervisor.get_state_blob(2);

  for (const auto* resume : {"the first resume", "the second resume", "the third resume"}) {
    ASSERT_EQ(*hypervisor.result(support::Control::kStop), 0U);
    ASSERT_EQ(*hypervisor.set_state_blob(1, permanent), 0U);
    ASSERT_EQ(*hypervisor.set_state_blob(2, transient), 0U);
    ASSERT_EQ(*hypervisor.init(0), 0U);
    for (int i = 0; i < 8; ++i) {
      draw(std::string("random number of ") + resume,
           tpm::random_data(send(hypervisor, tpm::get_random(16))));
    }
    const auto session = send(hypervisor, tpm::start_auth_session());
    ASSERT_EQ(support::response_code(session), tpm::kSuccess);
    draw(std::string("nonce of ") + resume, tpm::session_nonce(session));
  }
  EXPECT_EQ(drawn_.size(), draws_);
}

}  // namespace
}  // namespace tests::integration
