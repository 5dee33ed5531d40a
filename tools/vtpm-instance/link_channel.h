// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>

#include "keybroker/client/channel.h"
#include "tools/vtpm-instance/link_exchange.h"

namespace tools::vtpm_instance {

// LinkChannel is the road to the VM's key broker over the instance's link: vtpmd carries what is
// said. One call at a time, on any thread.
class LinkChannel final : public keybroker::client::Channel {
 public:
  // How long call() waits: vtpmd gives up, and says so, before that (its `[broker] timeout`).
  static constexpr std::chrono::seconds kPatience{75};

  // What travels at most, either way: it has to fit into a frame with what is around it.
  static constexpr std::size_t kMaxMessageBytes = std::size_t{60} * 1024;

  explicit LinkChannel(LinkEnds link);

  // exchange() is for whoever reads the link.
  LinkExchange<strongroom::instance::v1::BrokerReply>& exchange() { return exchange_; }

  base::Result<base::Bytes> call(keybroker::client::Method method, base::ByteView message,
                                 const std::stop_token& stop) override;

  [[nodiscard]] std::optional<std::chrono::seconds> retry_after() const override;

  // While nobody reads the link, pause() does, and an order ends it.
  bool pause(std::chrono::milliseconds time, const std::stop_token& stop) override;

  void wait_at_most(std::chrono::seconds time) override { exchange_.wait_at_most(time); }

 private:
  LinkExchange<strongroom::instance::v1::BrokerReply> exchange_;
  std::atomic<std::uint32_t> retry_after_seconds_{0};  // 0: nobody said
};

}  // namespace tools::vtpm_instance
