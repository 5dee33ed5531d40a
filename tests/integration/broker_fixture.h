// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/broker/anchor.h"
#include "keybroker/broker/broker_keys.h"
#include "keybroker/broker/owner_policies.h"
#include "keybroker/broker/registration.h"
#include "keybroker/broker/release_key.h"
#include "keybroker/client/anchor.h"
#include "keybroker/client/release.h"
#include "keybroker/hsm/software_keys.h"
#include "keybroker/store/sqlite.h"
#include "tests/integration/release_machine.h"
#include "tests/support/temp_folder.h"

namespace tests::integration {

namespace broker = keybroker::broker;
namespace client = keybroker::client;
namespace crypto = keybroker::crypto;
namespace protocol = keybroker::protocol;
namespace store = keybroker::store;

inline const std::string kAuthorityName = "https://broker.example";

// A release policy that allows every simulated machine without debugging, and one that asks for an
// image that no machine here runs.
extern const std::string kAllowing;
extern const std::string kDenying;

// TestBroker is a broker with its records in SQLite, or in what `connect` opens, and a tenant with
// software keys. Each worker has a connection of its own.
class TestBroker {
 public:
  using Connect = std::function<base::Result<std::unique_ptr<store::Sql>>()>;

  explicit TestBroker(Connect connect = {});

  // What one thread works with.
  struct Thread {
    explicit Thread(TestBroker& at)
        : records(at.open()), worker{at.rules, at.limit, records, *at.keys} {}

    store::BrokerRecords records;
    broker::Worker worker;
  };

  [[nodiscard]] broker::Registrar registrar();
  [[nodiscard]] store::BrokerRecords open() const;

  store::Act act();
  protocol::Sha256Digest put(const std::string& policy);

  support::TempFolder folder;
  Connect connect;
  broker::BrokerRoot root;
  broker::BrokerRules rules;
  broker::RequestLimit limit;
  std::unique_ptr<keybroker::hsm::SoftwareKeys> keys;
  store::BrokerRecords records;
  crypto::Time now;
};

inline constexpr protocol::Uuid kTenant{std::byte{0x7E}, std::byte{1}};
inline constexpr protocol::Uuid kOtherOwner{std::byte{0x7E}, std::byte{2}};

// A launch document of the tenant for a VM, and its registration.
protocol::LaunchDocument document_for(const TestBroker& at, std::uint8_t vm,
                                      protocol::TeeFamily family = protocol::TeeFamily::kSevSnp);
broker::NewVm new_vm(TestBroker& at, const protocol::LaunchDocument& document);
void register_vm(TestBroker& at, const protocol::LaunchDocument& document);

// TestInstance is what runs in a VM and asks for its key: the real client, over a channel into the
// broker of the same process.
class TestInstance : public client::Channel {
 public:
  TestInstance(TestBroker& at, protocol::LaunchDocument document, std::uint8_t boot = 1);
  TestInstance(const TestInstance&) = delete;
  TestInstance& operator=(const TestInstance&) = delete;
  ~TestInstance() override = default;

  base::Result<base::Bytes> call(client::Method method, base::ByteView message,
                                 const std::stop_token& stop) override;

  // release() asks for the key, with evidence of the machine unless `shows` gives another. It
  // returns the word of the refusal, "released", or the message of an error.
  std::string release();

  // anchor() tells of the state `sequence`, and gives the word of what came.
  std::string anchor(std::uint64_t sequence, client::AnchorKind kind = client::AnchorKind::kBoot,
                     bool restored = false);

  // Replays a message as it is.
  std::string again(client::Method method, const base::Bytes& message);

  TestBroker& at;
  protocol::LaunchDocument document;
  client::Boot boot;
  TestBroker::Thread thread;
  broker::Certifiers certifiers{};
  MachineState machine;
  // In place of the machine's evidence for this launch digest and report data.
  std::function<client::ShownEvidence(base::ByteView launch, base::ByteView report_data)> shows;
  // No message arrives.
  bool is_cut_off = false;
  // Changes a message on its way.
  std::function<void(client::Method, base::Bytes&)> on_the_way;
  base::Bytes receipt;
  std::optional<client::Released> released;
  std::optional<client::Anchored> anchored;
  std::string detail;  // of the last refusal
  base::Bytes sent;
  base::Bytes answer;
};

// word_in() is the outcome of a signed answer by itself: "released", "anchored" or the reason.
std::string word_in(const base::Result<base::Bytes>& answer);

}  // namespace tests::integration
