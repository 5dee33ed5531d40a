// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <map>
#include <thread>

#include "tests/integration/attest_tool.h"
#include "vtpm/tee_sim/tdx_collateral.h"

// `attest collateral` against services that answer as AMD's and Intel's do, with what the
// simulator's mints made; then `attest verify` with nothing but what was fetched.
namespace tests::integration {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace net = boost::asio;
using namespace keybroker::evidence;
using ::testing::HasSubstr;

struct Answer {
  std::string body;
  std::map<std::string, std::string> headers{};
  unsigned status = 200;
};

// Service answers each path with one document, until it dies.
class Service {
 public:
  explicit Service(std::map<std::string, Answer> answers)
      : answers_(std::move(answers)),
        acceptor_(context_, {net::ip::make_address("127.0.0.1"), 0}),
        thread_([this] { serve(); }) {}

  ~Service() {
    // The one connection that asks for nothing ends it.
    boost::system::error_code ignored;
    net::ip::tcp::socket last(context_);
    last.connect(acceptor_.local_endpoint(), ignored);
    last.close(ignored);
    thread_.join();
  }

  [[nodiscard]] std::string url() const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }

 private:
  void serve() {
    for (;;) {
      boost::system::error_code error;
      net::ip::tcp::socket socket(context_);
      acceptor_.accept(socket, error);
      beast::flat_buffer buffer;
      http::request<http::empty_body> request;
      http::read(socket, buffer, request, error);
      if (error) {
        return;
      }
      const auto found = answers_.find(std::string(request.target()));
      const auto answer = found == answers_.end() ? Answer{"", {}, 404} : found->second;
      http::response<http::string_body> response;
      response.result(answer.status);
      for (const auto& [name, value] : answer.headers) {
        response.set(name, value);
      }
      response.body() = answer.body;
      response.keep_alive(false);
      response.prepare_payload();
      http::write(socket, response, error);
      socket.shutdown(net::ip::tcp::socket::shutdown_both, error);
    }
  }

  std::map<std::string, Answer> answers_;
  net::io_context context_;
  net::ip::tcp::acceptor acceptor_;
  std::thread thread_;
};

std::string text_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string percent_encoded(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += std::isalnum(static_cast<unsigned char>(c)) != 0
               ? std::string(1, c)
               : "%" + base::to_hex(std::array{std::byte(static_cast<unsigned char>(c))});
  }
  return out;
}

class AttestCollateralTest : public AttestTool {
 protected:
  // What AMD's service has for the simulated guest, whose bundle comes without any certificate.
  std::map<std::string, Answer> amd() {
    make_simulated();
    const auto certificates = evidence_.snp_certificates;
    evidence_.snp_certificates.clear();
    bundle_ = make_file("bundle.json", *encode_bundle(evidence_));
    std::filesystem::remove_all(folder_ / "collateral");
    const auto& mint = support::snp_mint(SnpProduct::kGenoa);
    const auto crl = text_of(
        mint.crl(support::mint_begin(), support::mint_begin() + std::chrono::days(30))->der());
    std::string hwid;
    for (int i = 0; i < 64; ++i) {
      hwid += "5a";
    }
    return {{"/vcek/v1/Genoa/cert_chain", {pem(mint.ask()) + pem(mint.ark())}},
            {"/vlek/v1/Genoa/cert_chain", {pem(mint.asvk()) + pem(mint.ark())}},
            {"/vcek/v1/Genoa/crl", {crl}},
            {"/vlek/v1/Genoa/crl", {crl}},
            {"/vcek/v1/Genoa/" + hwid + "?blSPL=4&teeSPL=1&snpSPL=24&ucodeSPL=219",
             {text_of(certificates.front().der())}}};
  }

  support::Ran fetch(const Service& service, std::vector<std::string> more) const {
    std::vector<std::string> all{
        "collateral",    "--collateral",         (folder_ / "collateral").string(),
        "--amd-service", service.url(),          "--intel-service",
        service.url(),   "--intel-certificates", service.url()};
    all.insert(all.end(), more.begin(), more.end());
    return attest(all);
  }
};

TEST_F(AttestCollateralTest, FetchesWhatABundleNeedsFromAmd) {
  const Service service(amd());
  EXPECT_EQ(document(verify({"--trust-simulator", root_}), 6).at("reason"), "snp-chain-shape");
  const auto ran = fetch(service, {"--for", bundle_});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(document(verify({"--trust-simulator", root_}), 3).at("accepted"), true);
}

TEST_F(AttestCollateralTest, AServiceThatIsBusyIsToBeAskedAgain) {
  auto answers = amd();
  answers["/vcek/v1/Genoa/cert_chain"] = {"", {{"Retry-After", "30"}}, 429};
  const Service service(answers);
  const auto ran = fetch(service, {"--amd", "Genoa"});
  EXPECT_EQ(ran.status, 8);
  EXPECT_THAT(ran.err, HasSubstr("after 30"));
}

// An error page with status 200 must not take the place of a list.
TEST_F(AttestCollateralTest, WhatCannotBeReadIsNotKept) {
  auto answers = amd();
  answers["/vcek/v1/Genoa/crl"] = {"<html>sorry</html>"};
  const Service service(answers);
  const auto ran = fetch(service, {"--amd", "Genoa"});
  EXPECT_EQ(ran.status, 6);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "collateral" / "amd" / "Genoa.crl"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "collateral" / "amd" / "Genoa.pem"));
}

TEST_F(AttestCollateralTest, FetchesAPlatformsCollateralFromIntel) {
  namespace sim = vtpm::tee_sim;
  const auto& mint = support::tdx_mint();
  const auto begin = support::mint_begin();
  const auto end = begin + std::chrono::days(30);
  keybroker::crypto::SgxExtension platform;
  platform.fmspc = {std::byte{0x53}, std::byte{0x49}, std::byte{0x4d}};
  const auto chain = percent_encoded(pem(mint.tcb_signer()) + pem(mint.root()));
  const Service service(std::map<std::string, Answer>{
      {"/tdx/certification/v4/tcb?fmspc=53494d000000",
       {*mint.sign_collateral("tcbInfo", to_json(sim::tcb_info_for(platform, {}, begin))),
        {{"TCB-Info-Issuer-Chain", chain}}}},
      {"/tdx/certification/v4/qe/identity",
       {*mint.sign_collateral("enclaveIdentity", to_json(sim::qe_identity_for(begin))),
        {{"SGX-Enclave-Identity-Issuer-Chain", chain}}}},
      {"/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
       {text_of(mint.pck_crl(sim::PckCa::kPlatform, begin, end)->der())}},
      {"/sgx/certification/v4/pckcrl?ca=processor&encoding=der",
       {text_of(mint.pck_crl(sim::PckCa::kProcessor, begin, end)->der())}},
      {"/IntelSGXRootCA.der", {text_of(mint.root_crl(begin, end)->der())}}});
  const auto ran = fetch(service, {"--fmspc", "53494D000000", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(boost::json::parse(ran.out).at("written").as_array().size(), 7U);
  EXPECT_EQ(fetch(service, {"--fmspc", "000000000000"}).status, 4);
}

TEST_F(AttestCollateralTest, MachinesMustBeNamed) {
  EXPECT_EQ(attest({"collateral"}).status, 2);
  EXPECT_EQ(attest({"collateral", "--fmspc", "5"}).status, 2);
  EXPECT_EQ(attest({"collateral", "--amd", "Genoa", "--amd-service", "http://127.0.0.1:1",
                    "--collateral", (folder_ / "c").string()})
                .status,
            8);
}

}  // namespace
}  // namespace tests::integration
