// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "keybroker/crypto/issue.h"
#include "keybroker/evidence/replay.h"
#include "tests/integration/td_case.h"

// What can be done with the certificates of a platform, with the words of Intel's documents, and
// with the log of a TD. Each test spoils one thing of a quote that is accepted.
namespace tests::integration {
namespace {

// with_pck() is the verdict on a quote whose PCK certificate was changed before it was signed.
template <typename Change>
std::string with_pck(Change change, sim::PckCa by = sim::PckCa::kPlatform) {
  return with([&](TdCase& input) {
    auto spec = tdx_mint().pck_spec(sim::PckCa::kPlatform, platform());
    auto key = input.enclave->pck_key.public_key();
    change(spec, key);
    input.enclave->pck_chain = tdx_mint().issue_pck(by, spec, key)->pem() +
                               tdx_mint().pck_ca(sim::PckCa::kPlatform).pem() +
                               tdx_mint().root().pem();
  });
}

TEST(TdChainAttackTest, APckIsCertifiedAsIntelCertifies) {
  using Spec = crypto::CertificateSpec;
  using Key = crypto::PublicKey;
  using Scheme = crypto::SignatureAlgorithm::Scheme;
  EXPECT_EQ(with_pck([](Spec&, Key&) {}), "accepted");
  // By the other CA, under this one's name.
  EXPECT_EQ(with_pck([](Spec&, Key&) {}, sim::PckCa::kProcessor), "tdx-chain-broken");
  EXPECT_EQ(with_pck([](Spec& spec, Key&) {
              spec.extensions.push_back({"1.2.840.113741.1.13.9", true, base::Bytes(2)});
            }),
            "tdx-chain-constraint");
  EXPECT_EQ(with_pck([](Spec& spec, Key&) {
              spec.not_before = mint_begin() - kMonth;
              spec.not_after = mint_begin() - std::chrono::seconds(1);
            }),
            "tdx-chain-expired");
  EXPECT_EQ(
      with_pck([](Spec& spec, Key&) { spec.not_before = mint_begin() + std::chrono::seconds(1); }),
      "tdx-chain-not-yet-valid");
  EXPECT_EQ(with_pck([](Spec& spec, Key&) {
              spec.algorithm = {Scheme::kEcdsa, crypto::Hash::kSha384, std::nullopt, 0};
            }),
            "tdx-chain-algorithm");
  EXPECT_EQ(with_pck([](Spec&, Key& key) {
              key = crypto::PrivateKey::generate_ec(crypto::Curve::kP384)->public_key();
            }),
            "tdx-chain-algorithm");
  EXPECT_EQ(with_pck([](Spec&, Key& key) {
              key = crypto::PrivateKey::generate_ec(crypto::Curve::kP256)->public_key();
            }),
            "tdx-qe-signature");
}

TEST(TdChainAttackTest, APckSaysWhichPlatformItIsOf) {
  const auto with_extension = [](auto change) {
    return with_pck(
        [&](crypto::CertificateSpec& spec, crypto::PublicKey&) { change(spec.extensions); });
  };
  EXPECT_EQ(with_extension([](auto& extensions) { extensions.clear(); }), "tdx-pck-extension");
  EXPECT_EQ(with_extension([](auto& extensions) { extensions.front().content.pop_back(); }),
            "tdx-pck-extension");
  EXPECT_EQ(with_extension([](auto& extensions) { extensions.push_back(extensions.front()); }),
            "tdx-pck-extension");
}

// A machine that is not up to date is taken for as long and with such faults as the policy says.
TEST(TdChainAttackTest, OldLevelsAreTakenWithinTheirLimits) {
  const auto outdated = [](auto change) {
    return with([&](TdCase& input) {
      auto& level = input.tcb_info.levels.front();
      level.status = "OutOfDate";
      level.date = "2025-01-01T00:00:00Z";
      level.advisories = {"INTEL-SA-00001"};
      input.policy.tdx.statuses = {TcbStatus::kUpToDate, TcbStatus::kOutOfDate};
      input.policy.tdx.advisories = std::set<std::string>{"INTEL-SA-00001"};
      input.policy.tdx.max_tcb_age = std::chrono::days(400);
      change(input);
    });
  };
  EXPECT_EQ(outdated([](TdCase&) {}), "accepted");
  EXPECT_EQ(outdated([](TdCase& input) { input.policy.tdx.max_tcb_age = std::chrono::days(300); }),
            "tdx-tcb-date");
  EXPECT_EQ(outdated([](TdCase& input) {
              input.tcb_info.levels.front().advisories.push_back("INTEL-SA-00002");
            }),
            "tdx-tcb-advisory");
  EXPECT_EQ(outdated([](TdCase& input) { input.policy.tdx.advisories.emplace(); }),
            "tdx-tcb-advisory");
  EXPECT_EQ(outdated([](TdCase& input) { input.policy.tdx.advisories.reset(); }), "accepted");
}

// T19: the attributes of the module are zero, whatever mask Intel's document has for them.
TEST(TdChainAttackTest, AModuleHasNoAttributes) {
  EXPECT_EQ(with([](TdCase& input) {
              input.quote.body.seam_attributes = 1;
              input.tcb_info_text = to_json(input.tcb_info);
              const std::string mask = "FFFFFFFFFFFFFFFF";
              for (auto at = input.tcb_info_text.find(mask); at != std::string::npos;
                   at = input.tcb_info_text.find(mask)) {
                input.tcb_info_text.replace(at, mask.size(), "0000000000000000");
              }
            }),
            "tdx-seam-attributes");
}

template <typename Change>
std::string with_tcb_info(Change change) {
  return with([&](TdCase& input) {
    input.tcb_info_text = to_json(input.tcb_info);
    change(input.tcb_info_text);
  });
}

template <typename Change>
std::string with_qe_identity(Change change) {
  return with([&](TdCase& input) {
    input.qe_identity_text = to_json(input.qe_identity);
    change(input.qe_identity_text);
  });
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

// T14, T18: documents of another kind, and such as two readers could read differently. What is not
// even JSON never gets as far as a signature.
TEST(TdChainAttackTest, DocumentsAreOfTheirKindAndReadStrictly) {
  EXPECT_EQ(with_tcb_info([](std::string& text) { replace(text, "\"TDX\"", "\"SGX\""); }),
            "tdx-tcb-info-other");
  EXPECT_EQ(
      with_tcb_info([](std::string& text) { replace(text, "\"version\":3", "\"version\":2"); }),
      "tdx-tcb-info-other");
  EXPECT_EQ(with_qe_identity([](std::string& text) { replace(text, "\"TD_QE\"", "\"QE\""); }),
            "tdx-qe-identity-other");
  EXPECT_EQ(
      with_qe_identity([](std::string& text) { replace(text, "\"version\":2", "\"version\":1"); }),
      "tdx-qe-identity-other");
  EXPECT_EQ(with_qe_identity([](std::string& text) { replace(text, "UpToDate", "Great"); }),
            "tdx-qe-identity-malformed");
  EXPECT_EQ(
      with_qe_identity([](std::string& text) { replace(text, "\"mrsigner\"", "\"signer\""); }),
      "tdx-qe-identity-malformed");
  // Fifteen components, seventeen, and one that is larger than a byte.
  const std::string component = "{\"svn\":4},";
  EXPECT_EQ(with_tcb_info([&](std::string& text) { replace(text, component, ""); }),
            "tdx-tcb-info-malformed");
  EXPECT_EQ(
      with_tcb_info([&](std::string& text) { replace(text, component, component + component); }),
      "tdx-tcb-info-malformed");
  for (const char* number :
       {"256", "-1", "4.5", "1e400", "99999999999999999999", "\"4\"", "null"}) {
    EXPECT_NE(with_tcb_info([&](std::string& text) {
                replace(text, "{\"svn\":4}", "{\"svn\":" + std::string(number) + "}");
              }),
              "accepted")
        << number;
  }
  EXPECT_EQ(with_tcb_info([](std::string& text) { replace(text, "{\"svn\":4}", "{\"svn\":256}"); }),
            "tdx-tcb-info-malformed");
  EXPECT_EQ(with_tcb_info([](std::string& text) { text.insert(1, "\"id\":\"TDX\","); }),
            "tdx-tcb-info-missing");
  EXPECT_EQ(with_tcb_info([](std::string& text) {
              text.insert(1, "\"deep\":" + std::string(200, '[') + std::string(200, ']') + ",");
            }),
            "tdx-tcb-info-missing");
  // What a reader in C would take for the end of the text.
  EXPECT_EQ(with_tcb_info(
                [](std::string& text) { replace(text, "\"UpToDate\"", "\"UpToDate\\u0000\""); }),
            "tdx-tcb-info-missing");
}

// The boot that a TD's own firmware logs, in the order of its registers.
EventLog td_log() {
  EventLog log;
  log.header_index = 1;
  log.header_data = *base::from_hex(
      "53706563204944204576656e74303300000000000002000201000000"
      "0c00300000");
  log.algorithms = {{kTpmSha384, 48}};
  for (auto event : support::firmware_log().events) {
    if (event.index == 7 || event.index == 1) {
      event.index = 1;
    } else if (event.index == 4) {
      event.index = 2;
    } else {
      continue;
    }
    std::erase_if(event.digests,
                  [](const EventDigest& digest) { return digest.algorithm != kTpmSha384; });
    log.events.push_back(std::move(event));
  }
  // PCR 1 and PCR 7 share a register, and with it the one separator.
  const auto separator = std::ranges::find(log.events, EventType::kSeparator, &LogEvent::type);
  log.events.erase(separator);
  support::renumber(log);
  return log;
}

void boot(TdCase& input, const EventLog& log) {
  const auto registers = replay(log, crypto::Hash::kSha384, Registers::kRtmrs);
  for (std::uint32_t i = 0; i < 4; ++i) {
    std::ranges::copy(registers->at(i + 1).value, input.quote.body.rtmr.at(i).begin());
  }
  input.cc_event_log = encode(log);
}

// E8.
TEST(TdChainAttackTest, TheLogOfATdLeadsToItsRegisters) {
  const auto shown = [](auto change) {
    return with([&](TdCase& input) {
      auto log = td_log();
      boot(input, log);
      input.policy.boot.emplace().require_secure_boot = true;
      change(input, log);
      input.cc_event_log = encode(log);
    });
  };
  EXPECT_EQ(shown([](TdCase&, EventLog&) {}), "accepted");
  for (const std::uint32_t index : {0U, 5U, 255U, 0xFFFFFFFFU}) {
    EXPECT_EQ(shown([&](TdCase&, EventLog& log) { log.events.front().index = index; }),
              "log-register");
  }
  EXPECT_EQ(shown([](TdCase& input, EventLog&) { input.quote.body.rtmr[3][0] = std::byte{1}; }),
            "log-no-events");
  EXPECT_EQ(shown([](TdCase&, EventLog& log) { log.events.pop_back(); }), "log-replay");
  EXPECT_EQ(shown([](TdCase&, EventLog& log) { log.events.clear(); }), "log-no-events");
}

TEST(TdChainAttackTest, TheLogOfATdTellsOfSecureBoot) {
  const auto booted = [](auto change) {
    return with([&](TdCase& input) {
      auto log = td_log();
      change(log);
      boot(input, log);
      input.policy.boot.emplace().require_secure_boot = true;
    });
  };
  const auto variable = [](const char* name, std::byte content) {
    auto event =
        support::variable_event(EventType::kEfiVariableDriverConfig, name, std::array{content});
    event.index = 1;
    std::erase_if(event.digests,
                  [](const EventDigest& digest) { return digest.algorithm != kTpmSha384; });
    return event;
  };
  EXPECT_EQ(
      booted([&](EventLog& log) { log.events.front() = variable("SecureBoot", std::byte{0}); }),
      "boot-secure-boot-off");
  EXPECT_EQ(
      booted([&](EventLog& log) { log.events.push_back(variable("SecureBoot", std::byte{1})); }),
      "boot-variable-repeated");
  // Behind a separator that is called something else stands what the guest measured.
  EXPECT_EQ(with([&](TdCase& input) {
              auto log = td_log();
              log.events.front() = variable("SecureBoot", std::byte{0});
              for (const auto& event : td_log().events) {
                if (event.index == 1) {
                  log.events.push_back(event);
                }
              }
              boot(input, log);
              for (std::size_t i = 0; i < 6; ++i) {
                log.events[i].type = EventType::kIpl;
              }
              input.cc_event_log = encode(log);
              input.policy.boot.emplace().require_secure_boot = true;
            }),
            "boot-separator");
  // What PCR 1 would hold stands in the same register and is no part of the question.
  EXPECT_EQ(booted([&](EventLog& log) { log.events.push_back(variable("Lang", std::byte{7})); }),
            "accepted");
}

}  // namespace
}  // namespace tests::integration
