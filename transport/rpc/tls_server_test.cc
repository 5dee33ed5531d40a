// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <thread>

#include "tests/support/tls_server_fixture.h"
#include "transport/rpc/client.h"

namespace transport::rpc {
namespace {

using base::ErrorCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using tests::support::AddResponse;

// A caller that speaks TLS, and over it whatever the test says.
class RawCaller {
 public:
  RawCaller(const tls::Context& context, std::uint16_t port) : stream_(io_, *context) {
    stream_.lowest_layer().connect({asio::ip::address_v4::loopback(), port});
    stream_.handshake(asio::ssl::stream_base::client);
  }

  void send(const std::string& bytes) { asio::write(stream_, asio::buffer(bytes)); }

  // receive() is what comes next; empty once the server has closed.
  std::string receive() {
    std::array<char, 4096> piece{};
    boost::system::error_code error;
    const auto got = stream_.read_some(asio::buffer(piece), error);
    return {piece.data(), got};
  }

  std::string receive_all() {
    std::string all;
    for (auto piece = receive(); !piece.empty(); piece = receive()) {
      all += piece;
    }
    return all;
  }

  // was_reset() tells that the server's socket was closed with bytes of ours unread, which takes
  // back what was on its way to us.
  bool was_reset() {
    boost::system::error_code error;
    stream_.next_layer().write_some(asio::buffer("x", 1), error);
    return error.failed();
  }

  // cut() ends the connection as somebody in between would: without close_notify.
  void cut() { stream_.lowest_layer().shutdown(asio::ip::tcp::socket::shutdown_both); }

 private:
  asio::io_context io_;
  asio::ssl::stream<asio::ip::tcp::socket> stream_;
};

using TlsServerTest = tests::support::TlsServerFixture;

TEST_F(TlsServerTest, TellsTheHandlerWhoCalls) {
  start();

  const auto answer = call(caller(), "Add", pair(2, 40));

  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->sum(), 42);
  EXPECT_THAT(
      answer->note(),
      ::testing::MatchesRegex("operator alice, certificate [0-9a-f]{8}, from 127.0.0.1:[0-9]+"));
}

TEST_F(TlsServerTest, AnswersCurl) {
  start();

  const auto ran = curl({"--cert", caller_.certificate, "--key", caller_.key}, "Add");

  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr(R"("sum":"42")"));
}

TEST_F(TlsServerTest, RefusesCurlWithoutACertificate) {
  start();

  const auto ran = curl({}, "Add");

  EXPECT_NE(ran.status, 0);
  EXPECT_THAT(ran.err, HasSubstr("certificate required"));
  EXPECT_EQ(ran.out, "");
}

TEST_F(TlsServerTest, RefusesAnOlderTls) {
  start();

  const auto ran =
      curl({"--tls-max", "1.2", "--cert", caller_.certificate, "--key", caller_.key}, "Add");

  EXPECT_NE(ran.status, 0);
  EXPECT_THAT(ran.err, HasSubstr("protocol version"));
}

// Each is refused in the handshake, told so, and the log has the reason.
TEST_F(TlsServerTest, RefusesAWrongCertificateAndLogsWhy) {
  tests::support::TestPki foreign(folder_.path(), "foreign");
  const auto revoked = pki_.caller("revoked", {{"OU", "operator"}, {"CN", "bob"}});
  credentials_.revoked = pki_.revoke({revoked.serial});
  start();
  const keybroker::crypto::DistinguishedName subject = {{"OU", "operator"}, {"CN", "bob"}};
  const std::pair<tests::support::TestPki::Files, const char*> wrong[] = {
      {{}, "it shows no certificate"},
      {foreign.caller("foreign", subject), "unable to get local issuer certificate"},
      {pki_.issue("ended", {.subject = subject, .for_clients = true, .ends = seconds(-60)}),
       "certificate has expired"},
      {pki_.issue("early", {.subject = subject, .for_clients = true, .begins = seconds(600)}),
       "certificate is not yet valid"},
      {pki_.issue("purpose", {.subject = subject}), "unsuitable certificate purpose"},
      {revoked, "certificate revoked"},
      {pki_.caller("admin", {{"OU", "admin"}, {"CN", "bob"}}), "no role"},
      {pki_.caller("two", {{"OU", "operator"}, {"OU", "auditor"}, {"CN", "bob"}}),
       "more than one OU"},
      {pki_.caller("nobody", {{"OU", "operator"}}), "has no CN"},
      {pki_.caller("which", {{"OU", "tenant"}, {"CN", "bob"}}), "no O"},
  };
  std::uint64_t refused = 0;
  for (const auto& [files, why] : wrong) {
    const auto answer = call(client_with(files), "Add", pair(1, 1));

    ASSERT_FALSE(answer) << why;
    EXPECT_EQ(answer.error().code, ErrorCode::kAuthentication) << answer.error().message;
    EXPECT_THAT(answer.error().message, HasSubstr("does not accept our certificate"));
    await_refused(++refused);
    EXPECT_THAT(log(), HasSubstr(why));
  }
  EXPECT_TRUE(call(caller(), "Add", pair(1, 1)));
}

TEST_F(TlsServerTest, IsNotBelievedByAClientUnlessItsCertificateIsGood) {
  tests::support::TestPki foreign(folder_.path(), "foreign");
  const keybroker::crypto::DistinguishedName subject = {{"CN", "localhost"}};
  const std::pair<tests::support::TestPki::Files, const char*> wrong[] = {
      {foreign.service("foreign"), "unable to get local issuer certificate"},
      {pki_.issue("other", {.subject = subject, .dns_names = {"other.example"}}),
       "hostname mismatch"},
      {pki_.issue("star", {.subject = subject, .dns_names = {"*host"}}), "hostname mismatch"},
      {pki_.issue("common-name", {.subject = subject}), "hostname mismatch"},
      {pki_.issue("ended", {.subject = subject, .dns_names = {"localhost"}, .ends = seconds(-60)}),
       "certificate has expired"},
      {pki_.issue("purpose", {.subject = subject, .dns_names = {"localhost"}, .for_clients = true}),
       "unsuitable certificate purpose"},
  };
  start();
  for (const auto& [files, why] : wrong) {
    renew({files.certificate, files.key, pki_.authorities()});

    const auto answer = call(client_at("localhost"), "Add", pair(1, 1));

    ASSERT_FALSE(answer) << why;
    EXPECT_EQ(answer.error().code, ErrorCode::kAuthentication);
    EXPECT_THAT(answer.error().message, HasSubstr(why));
  }
}

TEST_F(TlsServerTest, IsKnownByItsNameAndByItsAddress) {
  start();

  EXPECT_TRUE(call(client_at("localhost"), "Add", pair(1, 1)));
  EXPECT_TRUE(call(client_at("127.0.0.1"), "Add", pair(1, 1)));

  const auto named = pki_.issue("named", {.subject = {{"CN", "x"}}, .dns_names = {"localhost"}});
  renew({named.certificate, named.key, pki_.authorities()});
  EXPECT_TRUE(call(client_at("localhost"), "Add", pair(1, 1)));
  EXPECT_THAT(call(client_at("127.0.0.1"), "Add", pair(1, 1)).error().message,
              HasSubstr("IP address mismatch"));
}

TEST_F(TlsServerTest, TakesRenewedCredentialsWithoutDroppingWhoIsThere) {
  start();
  RawCaller before(context_of(caller_), port_);
  before.send(post("Add", "{}"));
  ASSERT_THAT(before.receive(), HasSubstr("200 OK"));

  const auto service = pki_.service("next");
  renew({service.certificate, service.key, pki_.authorities()});

  before.send(post("Add", "{}"));
  EXPECT_THAT(before.receive(), HasSubstr("200 OK"));
}

TEST_F(TlsServerTest, DropsWhoIsThereWithItsAuthority) {
  start();
  RawCaller before(context_of(caller_), port_);
  before.send(post("Add", "{}"));
  ASSERT_THAT(before.receive(), HasSubstr("200 OK"));
  tests::support::TestPki next(folder_.path(), "next");

  renew({service_.certificate, service_.key, next.authorities()});

  EXPECT_EQ(before.receive(), "");
  EXPECT_FALSE(call(caller(), "Add", pair(1, 1)));
  const auto renewed = next.caller("renewed", {{"OU", "operator"}, {"CN", "alice"}});
  EXPECT_TRUE(call(client_with(renewed), "Add", pair(1, 1)));
}

TEST_F(TlsServerTest, DropsWhoWasRevokedAndNobodyElse) {
  start();
  const auto bob = pki_.caller("bob", {{"OU", "operator"}, {"CN", "bob"}});
  RawCaller revoked(context_of(caller_), port_);
  revoked.send(post("Add", "{}"));
  ASSERT_THAT(revoked.receive(), HasSubstr("200 OK"));
  RawCaller other(context_of(bob), port_);
  other.send(post("Add", "{}"));
  ASSERT_THAT(other.receive(), HasSubstr("200 OK"));

  renew({service_.certificate, service_.key, pki_.authorities(), pki_.revoke({caller_.serial})});

  EXPECT_EQ(revoked.receive(), "");
  EXPECT_THAT(log(), HasSubstr("alice"));
  other.send(post("Add", "{}"));
  EXPECT_THAT(other.receive(), HasSubstr("200 OK"));
}

TEST_F(TlsServerTest, EndsAConnectionWhoseCertificateHasEnded) {
  start();
  const auto brief = pki_.issue(
      "brief",
      {.subject = {{"OU", "operator"}, {"CN", "alice"}}, .for_clients = true, .ends = seconds(2)});
  RawCaller connection(context_of(brief), port_);
  const auto patience = std::chrono::steady_clock::now() + seconds(20);
  std::string answer;
  do {
    connection.send(post("Add", "{}"));
    answer = connection.receive();
  } while (answer.find("200 OK") != std::string::npos &&
           std::chrono::steady_clock::now() < patience);

  EXPECT_THAT(answer, HasSubstr("401 Unauthorized"));
  EXPECT_THAT(answer, HasSubstr("has ended"));
}

TEST_F(TlsServerTest, LetsARoleCallOnlyWhatTheTableSays) {
  start();
  const auto auditor = pki_.caller("auditor", {{"OU", "auditor"}, {"CN", "eve"}});

  const auto change = run(client_with(auditor).ask<AddResponse>("Change", pair(0, 0)));

  ASSERT_FALSE(change);
  EXPECT_EQ(change.error().code, Code::kPermissionDenied);
  EXPECT_THAT(change.error().message, HasSubstr("auditor"));
  EXPECT_EQ(world_.changes, 0);
  EXPECT_TRUE(call(client_with(auditor), "Add", pair(1, 1)));
  EXPECT_TRUE(call(caller(), "Change", pair(0, 0)));
  // What is in no row, nobody may call.
  EXPECT_EQ(call(caller(), "Release", pair(0, 0)).error().code, ErrorCode::kDenied);
}

TEST_F(TlsServerTest, GivesUpOnACallerThatDoesNotShakeHands) {
  start({.handshake_limit = milliseconds(50)});
  asio::io_context io;
  asio::ip::tcp::socket silent(io);
  silent.connect({asio::ip::address_v4::loopback(), port_});

  boost::system::error_code ended;
  std::array<char, 16> bytes{};
  silent.read_some(asio::buffer(bytes), ended);

  EXPECT_EQ(ended, asio::error::eof);
}

TEST_F(TlsServerTest, GivesTheLongestHandshakeForANewCaller) {
  start({.max_connections = 2, .handshake_limit = std::chrono::hours(1)});
  asio::io_context io;
  asio::ip::tcp::socket first(io);
  asio::ip::tcp::socket second(io);
  first.connect({asio::ip::address_v4::loopback(), port_});
  second.connect({asio::ip::address_v4::loopback(), port_});

  EXPECT_TRUE(call(caller(), "Add", pair(1, 1)));

  boost::system::error_code ended;
  std::array<char, 16> bytes{};
  first.read_some(asio::buffer(bytes), ended);
  EXPECT_EQ(ended, asio::error::eof);
}

TEST_F(TlsServerTest, GivesUpOnHalfAHeaderAndOnHalfABody) {
  start({.idle_limit = milliseconds(200), .body_limit = milliseconds(50)});
  RawCaller half_header(context_of(caller_), port_);
  half_header.send("POST /strongroom");
  EXPECT_THAT(half_header.receive_all(), HasSubstr("HTTP/1.1 408"));

  RawCaller half_body(context_of(caller_), port_);
  auto request = post("Change", "{}");
  request.pop_back();
  half_body.send(request);
  EXPECT_THAT(half_body.receive_all(), HasSubstr("did not arrive in time"));
  EXPECT_EQ(world_.changes, 0);
}

TEST_F(TlsServerTest, RefusesAnOversizedMessageAndIsHeard) {
  start({.max_request_bytes = 1000});
  RawCaller raw(context_of(caller_), port_);
  // More than is read before the answer: it must not be lost for what is left unread.
  raw.send(post("Change", std::string(500'000, ' ')));

  const auto answer = raw.receive_all();

  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 429"));
  EXPECT_THAT(answer, HasSubstr("exceeds the limit of 1000 bytes"));
  EXPECT_FALSE(raw.was_reset());
  EXPECT_EQ(world_.changes, 0);
}

// Without a length, the body would be whole at any end of the stream. The last byte is never sent.
TEST_F(TlsServerTest, DoesNothingForARequestThatWasCut) {
  start();
  for (const auto& request : {post("Change", "{}"), chunked_post("Change", "{}")}) {
    RawCaller raw(context_of(caller_), port_);
    raw.send(request.substr(0, request.size() - 1));
    raw.cut();
  }
  await_connections(0);

  EXPECT_EQ(world_.changes, 0);
}

TEST_F(TlsServerTest, CancelsTheCallOfACallerWhoHangsUp) {
  start();
  RawCaller raw(context_of(caller_), port_);
  raw.send(post("Hold", "{}"));
  world_.holding.get_future().get();

  raw.cut();

  world_.cancelled.get_future().get();
}

TEST_F(TlsServerTest, AnswersRequestsThatCameDuringAnother) {
  start();
  RawCaller raw(context_of(caller_), port_);
  raw.send(post("Hold", "{}"));
  world_.holding.get_future().get();
  raw.send(post("Change", "{}") + post("Change", "{}", "Connection: close\r\n"));

  asio::post(io_, [this] { world_.released.cancel(); });

  const auto answers = raw.receive_all();
  EXPECT_THAT(answers, HasSubstr(R"({"sum":"1"})"));
  EXPECT_THAT(answers, HasSubstr(R"({"sum":"2"})"));
}

TEST_F(TlsServerTest, StreamsAndSaysItsLastWord) {
  start();
  std::vector<std::int64_t> seen;

  const auto ended =
      run(caller().watch<AddResponse>("Count", pair(3, 6), [&](const AddResponse& next) {
        seen.push_back(next.sum());
        return true;
      }));

  EXPECT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(seen, (std::vector<std::int64_t>{3, 4, 5}));
}

}  // namespace
}  // namespace transport::rpc
