// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "keybroker/hsm/capped_keys.h"
#include "tools/config/keybrokerd_settings.h"
#include "tools/keybrokerd/desk.h"
#include "transport/rpc/load.h"
#include "transport/rpc/routes.h"
#include "transport/rpc/server.h"
#include "transport/tls/context.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// GuestListener is the face for guests and for who relies on their tokens: anybody may connect. So
// that none of them keeps a boot waiting, it has a loop, worker threads and desks of its own, fewer
// than boots have and of a lower scheduling priority, and takes only so many connections from one
// place.
class GuestListener {
 public:
  // open() listens. `office`, which has token rules, outlives it.
  static base::Result<std::unique_ptr<GuestListener>> open(
      const config::KeybrokerdSettings& settings, Office& office, transport::tls::Context context);

  GuestListener(const GuestListener&) = delete;
  GuestListener& operator=(const GuestListener&) = delete;
  ~GuestListener();

  // These are for one thread, which is not the listener's own.
  void start();
  void renew(transport::tls::Context context);
  boost::asio::awaitable<void> stop(std::chrono::milliseconds grace);

 private:
  GuestListener(std::size_t workers, std::size_t waiting, Office& office);

  const std::size_t workers_;
  keybroker::hsm::CappedKeys keys_;  // a token that hangs leaves a worker for others' guests
  boost::asio::io_context io_{1};
  std::optional<boost::asio::thread_pool> pool_;
  Desks desks_;
  transport::rpc::Load load_;
  transport::rpc::Routes routes_;
  std::optional<transport::rpc::Server> server_;
  std::thread thread_;
};

}  // namespace tools::keybrokerd
