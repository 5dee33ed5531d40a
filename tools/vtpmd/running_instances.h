// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "tools/vtpmd/broker_relay.h"
#include "tools/vtpmd/embedded_authority.h"
#include "tools/vtpmd/lockout_calls.h"
#include "tools/vtpmd/parent_keeper.h"
#include "transport/net/unix_listener.h"
#include "vtpm/host/host.h"
#include "vtpm/host/instances.h"
#include "vtpm/host/state_folder.h"

namespace tools::vtpmd {

// RunningInstances is vtpm::host::Instances with real sockets and processes. One thread.
class RunningInstances final : public vtpm::host::Instances {
 public:
  // Members of `hypervisor_group`, if there is one, may connect to TPM sockets. `tcb_grace_over` is
  // what each Setup says of this host.
  RunningInstances(boost::asio::io_context& io, vtpm::host::StateFolder folder,
                   std::filesystem::path program, std::optional<gid_t> hypervisor_group,
                   bool tcb_grace_over);
  ~RunningInstances() override;

  // start() starts the warmed parent.
  base::Result<void> start() { return parent_.start(); }

  // report_to() says whose events these are. Until then there are none.
  void report_to(vtpm::host::Host& host) { host_ = &host; }

  // certify_by() says who answers instances that want certificates. It outlives all links.
  void certify_by(EmbeddedAuthority& authority) { authority_ = &authority; }

  // relay_by() says who carries what instances say to their key broker. It outlives all links.
  void relay_by(BrokerRelay& relay) { relay_ = &relay; }

  // answer_lockouts_to() says who asks about lockouts. It outlives all links.
  void answer_lockouts_to(LockoutCalls& lockouts) { lockouts_ = &lockouts; }

  base::Result<void> open_sockets(const VmId& id) override;
  void close_sockets(const VmId& id) override;
  void watch_sockets(const VmId& id) override;
  void refuse_connections(const VmId& id) override;
  base::Result<void> launch(const VmId& id, base::Descriptor lease,
                            const strongroom::instance::v1::Setup& setup) override;
  base::Result<void> replace(const VmId& id, const strongroom::instance::v1::Setup& setup) override;
  void reclaim(const VmId& id) override;
  base::Result<void> send(const VmId& id,
                          const strongroom::instance::v1::ToInstance& message) override;
  void kill(const VmId& id) override;
  void watch_holder(const VmId& id, std::optional<vtpm::host::LeaseHolder> holder) override;
  void signal_holder(const VmId& id, int number) override;

 private:
  struct Link;
  struct Watch;

  struct Sockets {
    transport::net::UnixListener control;
    transport::net::UnixListener data;
    transport::net::UnixListener variables;
  };

  struct Entry {
    std::optional<Sockets> sockets;
    std::shared_ptr<Watch> watch;
    std::shared_ptr<Link> link;
    std::shared_ptr<Link> successor;  // of the one that is to take the instance's place
  };

  static void stop_watching(Entry& entry);
  boost::asio::awaitable<void> wait_for_connection(VmId id, std::shared_ptr<Watch> watch);
  boost::asio::awaitable<void> follow(VmId id, std::shared_ptr<Link> link);
  boost::asio::awaitable<void> follow_holder(VmId id,
                                             std::shared_ptr<vtpm::host::LeaseHolder> holder);
  void handle(const VmId& id, const std::shared_ptr<Link>& link);
  void say_nonsense(const VmId& id, const std::shared_ptr<Link>& link, const std::string& what);
  void handle_successor(const VmId& id, const std::shared_ptr<Link>& link,
                        const strongroom::instance::v1::FromInstance& message);
  void closed(const VmId& id, const std::shared_ptr<Link>& link);
  [[nodiscard]] strongroom::instance::v1::ToInstance message_of(
      const VmId& id, const strongroom::instance::v1::Setup& setup) const;
  void certify(const VmId& id, const std::shared_ptr<Link>& link,
               const strongroom::instance::v1::CertificationRequest& request);
  void answer(const VmId& id, const std::weak_ptr<Link>& asked_by,
              const strongroom::instance::v1::CertificationAnswer& answer);
  void call_broker(const VmId& id, const std::shared_ptr<Link>& link,
                   const strongroom::instance::v1::BrokerCall& call);
  void reply(const VmId& id, const std::weak_ptr<Link>& asked_by,
             const BrokerRelay::Outcome& outcome, bool has_receipt);
  void keep_receipt(const VmId& id, const std::shared_ptr<Link>& link,
                    const strongroom::instance::v1::Receipt& receipt);
  [[nodiscard]] bool is_current(const VmId& id, const std::shared_ptr<Link>& link) const;
  void log_line(const VmId& id, const strongroom::instance::v1::Log& line) const;

  boost::asio::io_context& io_;
  vtpm::host::StateFolder folder_;
  std::optional<gid_t> hypervisor_group_;
  const bool tcb_grace_over_;
  ParentKeeper parent_;
  vtpm::host::Host* host_ = nullptr;
  EmbeddedAuthority* authority_ = nullptr;
  BrokerRelay* relay_ = nullptr;
  LockoutCalls* lockouts_ = nullptr;
  std::map<VmId, Entry> entries_;
  std::map<std::uint64_t, VmId> launches_;
  std::uint64_t last_serial_ = 0;
};

}  // namespace tools::vtpmd
