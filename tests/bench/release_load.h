// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "keybroker/store/broker_records.h"
#include "tests/integration/broker_fixture.h"

namespace tests::bench {

namespace broker = keybroker::broker;
namespace client = keybroker::client;
namespace crypto = keybroker::crypto;
namespace store = keybroker::store;
using integration::TestBroker;

// What one start of one VM sends, made beforehand by the instance's own client on evidence of a
// simulated machine. The anchor is made for the first epoch of the VM.
struct Start {
  keybroker::protocol::Uuid vm_id{};
  base::Bytes challenge;
  base::Bytes release;
  base::Bytes anchor;
};

// What is wrong with a start.
struct Fault {
  bool is_unregistered = false;
  bool challenge_is_forged = false;
  bool signature_is_forged = false;
  std::string policy = integration::kAllowing;
};

// ReleaseLoad makes VMs and their starts for a broker. Its time passes with the machine's, from the
// moment that simulated evidence begins to be good.
class ReleaseLoad {
 public:
  explicit ReleaseLoad(TestBroker& at) : at_(at), thread_(at) {}

  // starts() registers `count` new VMs and makes a start of each. Good for as long as a challenge.
  base::Result<std::vector<Start>> starts(std::size_t count, const Fault& fault = {});

  // vms() registers `count` new VMs.
  base::Result<std::vector<keybroker::protocol::Uuid>> vms(std::size_t count);

  [[nodiscard]] crypto::Time now() const;

  TestBroker& broker() { return at_; }

 private:
  base::Result<keybroker::protocol::LaunchDocument> new_vm(const Fault& fault);
  base::Result<Start> start_of(const keybroker::protocol::LaunchDocument& document,
                               const Fault& fault);

  TestBroker& at_;
  TestBroker::Thread thread_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::uint32_t made_ = 0;
};

// BareRecords writes what a start of a VM makes a broker write, and nothing else: claim, anchor and
// answer, a transaction each, with as many bytes.
class BareRecords {
 public:
  // `line` is what the log says of a claim, `answer` what an anchor was answered.
  BareRecords(std::string line, base::Bytes answer)
      : line_(std::move(line)), answer_(std::move(answer)) {}

  base::Result<void> write(store::BrokerRecords& records, const keybroker::protocol::Uuid& vm_id,
                           crypto::Time now) const;

 private:
  std::string line_;
  base::Bytes answer_;
};

}  // namespace tests::bench
