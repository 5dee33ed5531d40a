// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/authority/request_budget.h"
#include "keybroker/protocol/instance.pb.h"
#include "tools/config/vtpmd_settings.h"
#include "transport/rpc/client.h"
#include "vmgs/format/vm_id.h"

namespace tools::vtpmd {

// BrokerRelay carries what instances say to their key broker, and what that answers, without
// looking into it: to one of the broker's endpoints, in turn, over mutual TLS. What did not get
// there, or was not answered, is Away with the reason. It says in the log what was carried, of
// whom, how much and how long it took, and nothing of what it was. Its functions are for vtpmd's
// thread, and replies come there.
class BrokerRelay {
 public:
  using VmId = vmgs::format::VmId;
  using Call = strongroom::instance::v1::BrokerCall;
  using Reply = strongroom::instance::v1::BrokerReply;

  // What one message has at most, either way: it travels in a frame (vtpm/host/frame.h).
  static constexpr std::size_t kMaxMessageBytes = std::size_t{60} * 1024;

  // What is asked for whom.
  struct Caller {
    VmId id;
    std::string name;  // for the log
  };

  // What came of a call. `endpoint` is the one that answered it, empty where none did.
  struct Outcome {
    Reply reply;
    std::string endpoint;
  };

  // start() reads the files that the settings name. Without endpoints there is no broker, and each
  // call is Away for that. An error names the setting or the file.
  static base::Result<std::unique_ptr<BrokerRelay>> start(boost::asio::io_context& io,
                                                          const config::VtpmdSettings& settings);

  // carry() has a call answered, always, with its serial, some time after it has returned. A VM
  // that calls too often is answered with Away. `take` is called once, or not at all if the event
  // loop ends before.
  void carry(Caller caller, Call call, std::function<void(const Outcome&)> take);

 private:
  using Clock = std::chrono::steady_clock;

  // One of the broker's addresses.
  struct Endpoint {
    std::string url;
    transport::rpc::Client client;
    int failures = 0;                // since it was last reached
    Clock::time_point not_before{};  // it is left alone until then
    std::string why{};               // it did not serve us the last time; empty: it did
  };

  BrokerRelay(boost::asio::io_context& io, std::vector<Endpoint> endpoints,
              std::chrono::seconds timeout)
      : io_(io), endpoints_(std::move(endpoints)), timeout_(timeout) {}

  boost::asio::awaitable<Outcome> answer(Call call);
  void failed(Endpoint& endpoint, const transport::rpc::RpcError& error);
  std::vector<Endpoint*> in_turn();

  boost::asio::io_context& io_;
  std::vector<Endpoint> endpoints_;
  std::size_t preferred_ = 0;  // the one that answered last
  const std::chrono::seconds timeout_;
  keybroker::authority::RequestBudget budget_;
};

}  // namespace tools::vtpmd
