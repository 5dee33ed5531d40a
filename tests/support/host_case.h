// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/support/temp_folder.h"
#include "vtpm/host/host.h"

// What tests of Host share.
namespace vtpm::host {

// Instances that exist only on paper: each call is noted, and fails when the test says so. Leases
// are real, and held as an instance would hold them.
class FakeInstances final : public Instances {
 public:
  base::Result<void> open_sockets(const VmId& id) override {
    TRY(fail_if(refuse_sockets));
    open.insert(id);
    return {};
  }

  void close_sockets(const VmId& id) override { open.erase(id); }

  void watch_sockets(const VmId& id) override { watched.insert(id); }

  void refuse_connections(const VmId& id) override { ++refused[id]; }

  base::Result<void> launch(const VmId& id, base::Descriptor lease,
                            const strongroom::instance::v1::Setup& setup) override {
    TRY(fail_if(refuse_launch));
    watched.erase(id);
    leases[id] = std::move(lease);
    setups.push_back(setup);
    return {};
  }

  base::Result<void> replace(const VmId&, const strongroom::instance::v1::Setup& setup) override {
    TRY(fail_if(refuse_launch));
    successors.push_back(setup);
    return {};
  }

  void reclaim(const VmId& id) override { knocked.insert(id); }

  base::Result<void> send(const VmId&,
                          const strongroom::instance::v1::ToInstance& message) override {
    TRY(fail_if(refuse_send));
    sent.push_back(message.message_case());
    last_sent = message;
    return {};
  }

  void kill(const VmId& id) override { killed.insert(id); }

  void watch_holder(const VmId&, std::optional<LeaseHolder> holder) override {
    holders.push_back(std::move(holder));
  }

  void signal_holder(const VmId&, int number) override { signals.push_back(number); }

  std::set<VmId> open;
  std::set<VmId> watched;
  std::map<VmId, int> refused;
  std::map<VmId, base::Descriptor> leases;
  std::vector<strongroom::instance::v1::Setup> setups;
  std::vector<strongroom::instance::v1::Setup> successors;
  std::set<VmId> knocked;
  std::vector<strongroom::instance::v1::ToInstance::MessageCase> sent;
  strongroom::instance::v1::ToInstance last_sent;
  std::set<VmId> killed;
  std::vector<std::optional<LeaseHolder>> holders;
  std::vector<int> signals;
  bool refuse_sockets = false;
  bool refuse_launch = false;
  bool refuse_send = false;

 private:
  static base::Result<void> fail_if(bool refused) {
    if (refused) {
      return base::fail(base::ErrorCode::kUnavailable, "as the test said");
    }
    return {};
  }
};

class HostCase : public ::testing::Test {
 protected:
  HostCase() {
    lock_ = *folder_.lock();
    reopen();
  }

  // reopen() is what a vtpmd that is started anew finds.
  void reopen() {
    host_.reset();
    registry_.reset();
    registry_.emplace(*Registry::open(folder_.registry()));
    auto opened = Host::open(folder_, *registry_, instances_,
                             [this](const VmId& id) { changes_.push_back(id); });
    ASSERT_TRUE(opened) << opened.error().message;
    host_ = *std::move(opened);
  }

  static base::Result<void> nothing(const Vm&) { return {}; }

  base::Result<std::pair<const Vm*, bool>> create(
      const strongroom::host::v1::CreateVmRequest& request) {
    VmId drawn;
    drawn.bytes.fill(std::byte{++drawn_});
    const auto spec = decode_spec(request, drawn);
    EXPECT_TRUE(spec) << spec.error().message;
    return host_->create(*spec, 1'700'000'000, nothing);
  }

  static strongroom::host::v1::CreateVmRequest request(const std::string& name) {
    strongroom::host::v1::CreateVmRequest made;
    made.set_name(name);
    return made;
  }

  // create_vm() creates an ordinary VM, or with the lifetime that is given.
  const Vm& create_vm(const std::string& name, const std::string& lifetime = "persistent") {
    auto made = request(name);
    made.mutable_parameters()->set_lifetime(lifetime);
    const auto created = create(made);
    EXPECT_TRUE(created) << created.error().message;
    return *created->first;
  }

  // serve() brings a VM to where its hypervisor may connect.
  void serve(const Vm& vm) {
    ASSERT_TRUE(host_->start(vm.id()));
    host_->forked(vm.id(), 100);
    host_->opened(vm.id(), {});
    ASSERT_EQ(vm.phase, Phase::kServing);
    say(vm, "ready");
  }

  void say(const Vm& vm, const std::string& readiness, bool guest = false,
           const std::string& reason = "") {
    strongroom::instance::v1::State state;
    state.set_readiness(readiness);
    state.set_guest(guest);
    state.set_reason(reason);
    host_->said(vm.id(), state);
  }

  void say_last(const Vm& vm, const std::string& readiness, const std::string& reason = "") {
    strongroom::instance::v1::State state;
    state.set_readiness(readiness);
    state.set_reason(reason);
    state.set_is_last(true);
    host_->said(vm.id(), state);
  }

  void end(const Vm& vm) {
    instances_.leases.erase(vm.id());
    host_->instance_ended(vm.id());
  }

  tests::support::TempFolder temp_;
  StateFolder folder_{temp_ / "state", temp_ / "run"};
  StateFolder::Lock lock_;
  FakeInstances instances_;
  std::optional<Registry> registry_;
  std::unique_ptr<Host> host_;
  std::vector<VmId> changes_;
  unsigned char drawn_ = 0;
};

}  // namespace vtpm::host
