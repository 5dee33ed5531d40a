// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/guest.h"
#include "tests/integration/keybrokerd.h"
#include "tests/integration/vtpmd.h"
#include "tests/support/temp_folder.h"

namespace tests::integration {

// A tenant's VMs on simulated SEV-SNP, whose keys a real keybrokerd has: the programs as people run
// them, and what lies between them is TLS over TCP.
class BrokerWireTest : public testing::Test {
 public:
  static constexpr const char* kTenant = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

 protected:
  // What a road to the broker is made of, for vtpmd's [broker] settings.
  struct Road {
    std::string endpoint;
    std::filesystem::path identity;
    std::filesystem::path authorities;
  };

  BrokerWireTest();
  ~BrokerWireTest() override;

  // The broker dies, and is there again; at the end of a test in any case.
  void broker_down();
  void broker_up();

  // Another broker with a root of its own, and who has its TLS credentials from the first one's
  // authority, so that no TLS error stands before what it says. It listens at that port, if any.
  std::unique_ptr<Keybrokerd> impostor(std::uint16_t port);

  // Another host: a vtpmd with folders of its own on a machine with the same chip.
  std::unique_ptr<Vtpmd> host(const std::string& name, const Road& road);

  [[nodiscard]] Road road() const;

  // with_road() ends vtpmd, and starts it on the same folders with another road to the broker.
  void with_road(const Road& road);

  // The options of a VM of the tenant, whose broker has that root.
  [[nodiscard]] std::vector<std::string> options(const std::string& name,
                                                 const std::string& offline = "deny") const;

  // create() makes a VM, which is not registered; its launch document is then in document(name).
  // It gives the VM's id.
  std::string create(const std::string& name, const std::string& offline = "deny") const;

  // create_registered() is create(), and the tenant registers it.
  std::string create_registered(const std::string& name, const std::string& offline = "deny") const;

  void register_vm(const std::string& name) const;

  [[nodiscard]] std::filesystem::path document(const std::string& name) const {
    return folder_ / (name + ".launch");
  }

  // put_policy() registers a release policy and gives its digest: of machines with that
  // measurement.
  std::string put_policy(const std::string& measurement) const;

  // start() starts a VM's instance and gives the readiness that comes of it, with its reason: what
  // passes by itself within a start is waited for.
  boost::json::object start(const std::string& name) const { return start_on(*vtpmd_, name); }

  static boost::json::object start_on(const Vtpmd& host, const std::string& name);

  static std::string word(const boost::json::object& readiness) {
    return Vtpmd::text_in(readiness, "name");
  }

  // expect() starts a VM and wants this word and a reason with these words in it.
  void expect(const std::string& name, const std::string& wanted, const std::string& reason) const;

  static void expect_on(const Vtpmd& host, const std::string& name, const std::string& wanted,
                        const std::string& reason);

  // A hypervisor on this host whose guest has started its TPM.
  [[nodiscard]] static support::Hypervisor boot_on(const Vtpmd& host, const std::string& name);

  [[nodiscard]] support::Hypervisor boot(const std::string& name) const {
    return boot_on(*vtpmd_, name);
  }

  // power_off() is an orderly end of the VM's instance, crash() a disorderly.
  void power_off(const std::string& name) const;
  void crash(const std::string& name) const;

  [[nodiscard]] std::filesystem::path store(const std::string& name) const {
    return vtpmd_->text(name, "store_path");
  }

  // copy() takes a store's file as it lies there, put() puts one in its place.
  std::filesystem::path copy(const std::string& name, const std::string& as) const;
  static void put(const std::filesystem::path& copy, const std::filesystem::path& place);

  // What the broker has of a VM, and the newest line of its log as the tenant sees it.
  [[nodiscard]] boost::json::object registration(const std::string& vm_id) const;
  [[nodiscard]] boost::json::object last_line(const std::string& vm_id) const;

  static std::string text(const boost::json::object& object, const std::string& field) {
    return Vtpmd::text_in(object, field);
  }

  support::TempFolder folder_;
  std::filesystem::path vendor_;
  std::string measurement_;
  std::filesystem::path root_;
  std::shared_ptr<Keybrokerd> broker_;
  std::filesystem::path operator_;
  std::filesystem::path tenant_;
  std::filesystem::path auditor_;
  std::filesystem::path host_;
  std::string policy_;
  std::unique_ptr<Vtpmd> vtpmd_;

 private:
  bool broker_is_down_ = false;
};

}  // namespace tests::integration
