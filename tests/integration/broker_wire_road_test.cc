// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <fstream>
#include <vector>

#include "tests/integration/broker_wire.h"
#include "tests/integration/cutting_road.h"

// What lies between a VM and its key broker, and does not do what it should: away, deaf, another's,
// or hostile.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;

class BrokerRoadTest : public BrokerWireTest {};

TEST_F(BrokerRoadTest, WhileTheBrokerIsAwayOnlyAVmWhoseDocumentAllowsItStarts) {
  const auto allowed = create_registered("may", "allow");
  (void)create_registered("may-not", "deny");
  {
    auto hypervisor = boot("may");
    define_and_write(hypervisor, 1);
  }
  power_off("may");
  expect("may-not", "ready", "");
  power_off("may-not");
  broker_down();
  expect("may-not", "broker-away", broker_->url());
  {
    auto hypervisor = boot("may");
    EXPECT_EQ(nv(hypervisor), data_of(1));
    ASSERT_EQ(run(hypervisor, support::nv_write(kIndex, data_of(2))), support::kSuccess);
  }
  EXPECT_THAT(text(vtpmd_->show("may"), "opened_by"), HasSubstr("without the key broker"));
  power_off("may");

  broker_up();
  with_road(road());
  expect("may-not", "ready", "");
  auto hypervisor = boot("may");
  EXPECT_EQ(nv(hypervisor), data_of(2));
  EXPECT_THAT(text(vtpmd_->show("may"), "opened_by"), HasSubstr("key broker released"));
  EXPECT_EQ(text(registration(allowed), "epoch"), "2");
}

// A host cannot turn a refusal into something else than no answer: the log has it, and a VM that
// may not start offline does not.
TEST_F(BrokerRoadTest, ARefusalThatIsDroppedIsNoAnswer) {
  const auto allowed = create_registered("may", "allow");
  const auto denied = create_registered("may-not", "deny");
  expect("may", "ready", "");
  power_off("may");
  expect("may-not", "ready", "");
  power_off("may-not");
  for (const auto& id : {allowed, denied}) {
    (void)broker_->kbctl_json(tenant_, {"vm", "disable", id});
  }
  CuttingRoad cutting(broker_->port());
  auto other = road();
  other.endpoint = "https://localhost:" + std::to_string(cutting.port());
  with_road(other);
  expect("may-not", "broker-refused", "vm-disabled");

  // A request for a release is larger than this, and a TLS handshake with a challenge is not.
  constexpr std::size_t kLessThanARelease = 5000;
  cutting.cut_after(kLessThanARelease);
  with_road(other);
  expect("may-not", "broker-away", "");
  EXPECT_GE(cutting.dropped(), 1U);
  EXPECT_EQ(text(last_line(denied), "reason"), "vm-disabled");
  with_road(other);
  expect("may", "ready", "");
  EXPECT_EQ(text(last_line(allowed), "reason"), "vm-disabled");
  EXPECT_THAT(text(vtpmd_->show("may"), "opened_by"), HasSubstr("without the key broker"));
  power_off("may");

  cutting.cut_after(0);
  with_road(other);
  expect("may", "broker-refused", "vm-disabled");
  (void)broker_->kbctl_json(tenant_, {"vm", "enable", allowed});
  expect("may", "ready", "");
}

TEST_F(BrokerRoadTest, AnotherBrokerBehindTheSameAddressIsNotBelieved) {
  const auto id = create_registered("a");
  expect("a", "ready", "");
  power_off("a");
  broker_down();
  {
    const auto evil = impostor(broker_->port());
    evil->start();
    (void)evil->kbctl_json(operator_, {"tenant", "create", "acme", "--id", kTenant});
    with_road(road());
    expect("a", "broker-away", "root");
  }
  broker_up();
  with_road(road());
  expect("a", "ready", "");
  EXPECT_EQ(text(registration(id), "epoch"), "2");
}

TEST_F(BrokerRoadTest, AHostWithATenantsCertificateGetsNothingCarried) {
  (void)create_registered("a");
  auto other = road();
  other.identity = tenant_;
  with_road(other);
  expect("a", "broker-away", "role hypervisor");
  // And a host's certificate opens no tenant's services.
  const auto refused = broker_->kbctl(host_, {"vm", "list"});
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("hypervisor"));
  with_road(road());
  expect("a", "ready", "");
}

base::Descriptor connect_to(std::uint16_t port) {
  base::Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  EXPECT_EQ(connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
            0);
  return socket;
}

TEST_F(BrokerRoadTest, CallersThatBreakTheRulesDoNotKeepItFromServing) {
  (void)create_registered("a");
  // Clients that say nothing, half of a record, and what is no TLS; all stay open.
  std::vector<base::Descriptor> open;
  for (int i = 0; i < 20; ++i) {
    open.push_back(connect_to(broker_->port()));
    const std::string said = i % 3 == 0   ? ""
                             : i % 3 == 1 ? std::string("\x16\x03\x01\x02\x00\x01", 6)
                                          : "GET / HTTP/1.1\r\n\r\n";
    EXPECT_EQ(send(open.back().number(), said.data(), said.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(said.size()));
  }
  // A TLS connection that is cut off, without a certificate, and below TLS 1.3.
  const auto at = "localhost:" + std::to_string(broker_->port());
  const auto ca = (host_ / "ca.pem").string();
  const auto certificate = (host_ / "certificate.pem").string();
  const auto key = (host_ / "key.pem").string();
  const auto older =
      support::run_command({"/usr/bin/openssl", "s_client", "-connect", at, "-tls1_2", "-CAfile",
                            ca, "-cert", certificate, "-key", key});
  EXPECT_NE(older.status, 0);
  // curl as a host: what it is answered.
  const auto status_of = [&](std::vector<std::string> with) {
    with.insert(with.begin(), {"/usr/bin/curl", "--silent", "--output", "/dev/null", "--write-out",
                               "%{http_code}", "--max-time", "20", "--cacert", ca});
    with.push_back("https://" + at + "/strongroom.broker.v1.KeyBrokerService/Challenge");
    return support::run_command(with).out;
  };
  EXPECT_EQ(status_of({"--json", "{}"}), "000");  // nobody is let in without a certificate
  const std::vector<std::string> as_host = {"--cert", certificate, "--key", key};
  std::ofstream(folder_ / "large.json")
      << R"({"message": ")" << std::string(std::size_t{2} << 20, 'A') << "\"}";
  auto large = as_host;
  large.insert(large.end(), {"--json", "@" + (folder_ / "large.json").string()});
  EXPECT_THAT(status_of(large), AnyOf("413", "429", "400", "000"));
  auto wrong = as_host;
  wrong.insert(wrong.end(), {"--json", R"({"message": "AAAA"})"});
  EXPECT_THAT(status_of(wrong), testing::StartsWith("4"));

  EXPECT_EQ(broker_->await_health("200"), "200");
  expect("a", "ready", "");
  // The first ones were there all the time.
  EXPECT_EQ(open.size(), 20U);
}

}  // namespace
}  // namespace tests::integration
