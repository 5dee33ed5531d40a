// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "keybroker/evidence/signature_database.h"
#include "tests/support/simulated_guest.h"
#include "vmgs/crypto/digest.h"

// What can be done with an event log, and what a log may honestly tell of a boot that nobody
// wants. A log that was changed is shown beside a quote of the boot that it was; a log of a bad
// boot is measured as it stands.
namespace tests::integration {
namespace {

using namespace keybroker::evidence;
using support::booted;
using support::failures;
using support::firmware_log;
using support::log_event;
using support::reason;
using support::SimulatedGuest;
using support::variable_event;

std::string judged(const SimulatedGuest& guest, const Policy& policy) {
  return reason(
      verify(guest.evidence(), policy, guest.collateral(), guest.store(), support::mint_begin()));
}

std::string judged(const SimulatedGuest& guest) { return judged(guest, guest.policy()); }

bool fails_by(const Verdict& verdict, Reason wanted) {
  return std::ranges::any_of(verdict.checks,
                             [&](const Check& check) { return check.reason == wanted; });
}

// The place of the nth event of a PCR.
std::size_t place(const EventLog& log, std::uint32_t pcr, std::size_t nth) {
  for (std::size_t i = 0; i < log.events.size(); ++i) {
    if (log.events[i].index == pcr && nth-- == 0) {
      return i;
    }
  }
  std::abort();
}

class BootAttackTest : public ::testing::Test {
 protected:
  // shown() is what is said of the honest boot's quote beside another log.
  template <typename Change>
  static Verdict shown(Change change) {
    const auto guest = booted(firmware_log());
    auto evidence = guest.evidence();
    auto log = firmware_log();
    change(log);
    evidence.event_log = encode(log);
    return guest.judge(evidence);
  }

  // measured() is what is said of a boot that was like this.
  template <typename Change>
  static std::string measured(Change change) {
    auto log = firmware_log();
    change(log);
    return judged(booted(std::move(log)));
  }
};

// E1.
TEST_F(BootAttackTest, AChangedLogDoesNotReplay) {
  const auto seventh = place(firmware_log(), 7, 2);
  EXPECT_EQ(reason(shown([](EventLog&) {})), "accepted");
  EXPECT_EQ(reason(shown([&](EventLog& log) {
              log.events.erase(log.events.begin() + static_cast<std::ptrdiff_t>(seventh));
            })),
            "log-replay");
  const auto swapped =
      shown([&](EventLog& log) { std::swap(log.events[seventh], log.events[place(log, 7, 0)]); });
  EXPECT_EQ(reason(swapped), "log-replay");
  const auto twice = shown([&](EventLog& log) {
    log.events.insert(log.events.begin() + static_cast<std::ptrdiff_t>(seventh),
                      log.events[seventh]);
  });
  EXPECT_EQ(reason(twice), "log-replay");
  EXPECT_THAT(twice.detail, ::testing::HasSubstr("without event"));
  EXPECT_EQ(reason(shown(
                [&](EventLog& log) { log.events[seventh].digests[0].bytes[0] ^= std::byte{1}; })),
            "log-replay");
}

// Searching for the event that differs takes time with the square of their number, so it is for few
// events of evidence that stands but for them.
TEST_F(BootAttackTest, WhoeverSendsALogDoesNotChooseWhatItCosts) {
  const auto without_one = [](std::size_t events, bool authentic) {
    auto log = firmware_log();
    for (std::size_t i = 0; i < events; ++i) {
      log.events.push_back(log_event(5, EventType::kEfiAction, base::bytes_of(std::to_string(i))));
    }
    const auto guest = booted(log);
    auto evidence = guest.evidence();
    log.events.erase(log.events.end() - 2);
    support::renumber(log);
    log.events.push_back(log.events.back());
    evidence.event_log = encode(log);
    if (!authentic) {
      evidence.quotes.front().signature.back() ^= std::byte{1};
    }
    const auto verdict = guest.judge(evidence);
    const auto check = std::ranges::find(verdict.checks, "log.sha256.pcr5", &Check::name);
    EXPECT_EQ(check->reason, Reason::kLogReplay);
    return check->detail;
  };
  EXPECT_THAT(without_one(8, true), ::testing::HasSubstr("an event is missing"));
  EXPECT_THAT(without_one(8, false), ::testing::Not(::testing::HasSubstr("an event")));
}

TEST_F(BootAttackTest, QuotesAreFew) {
  const auto guest = booted(firmware_log());
  auto evidence = guest.evidence();
  evidence.quotes.resize(8, evidence.quotes.front());
  EXPECT_EQ(reason(guest.judge(evidence)), "accepted");
  evidence.quotes.push_back(evidence.quotes.front());
  EXPECT_EQ(reason(guest.judge(evidence)), "evidence-too-large");
}

// E2: some verifiers pass a PCR that no event speaks of.
TEST_F(BootAttackTest, ARegisterWithoutEventsHasItsInitialValue) {
  const auto verdict = shown([](EventLog& log) {
    std::erase_if(log.events, [](const LogEvent& event) { return event.index == 7; });
  });
  EXPECT_EQ(reason(verdict), "log-no-events");
  EXPECT_EQ(reason(shown([](EventLog& log) { log.events.clear(); })), "log-no-events");
}

// E3: the digest is the one that was measured, the data say something nicer.
TEST_F(BootAttackTest, DataThatTheirDigestDoesNotCoverAreNotBelieved) {
  auto log = firmware_log(false);
  const auto guest = booted(log);
  EXPECT_EQ(judged(guest), "boot-secure-boot-off");
  auto evidence = guest.evidence();
  log.events.at(place(log, 7, 0)).data.back() = std::byte{1};
  evidence.event_log = encode(log);
  EXPECT_EQ(reason(guest.judge(evidence)), "log-digest-data");
}

// E4.
TEST_F(BootAttackTest, AVariableIsMeasuredOnceAndBeforeTheSeparator) {
  const auto on =
      variable_event(EventType::kEfiVariableDriverConfig, "SecureBoot", std::array{std::byte{1}});
  auto log = firmware_log(false);
  log.events.push_back(on);
  EXPECT_EQ(judged(booted(log)), "boot-variable-repeated");
  log = firmware_log(false);
  log.events.insert(log.events.begin(), on);
  EXPECT_EQ(judged(booted(log)), "boot-variable-repeated");
  // Behind the separator even the first is too late.
  log = firmware_log(false);
  log.events.erase(log.events.begin() + static_cast<std::ptrdiff_t>(place(log, 7, 0)));
  log.events.push_back(on);
  EXPECT_EQ(judged(booted(log)), "boot-variable-repeated");
}

// E4 by another name: the type of an event is not measured. A boot without Secure Boot calls its
// own events something else, and measures what a good machine does behind them.
TEST_F(BootAttackTest, EventsUnderAnotherNameAreNotPassedOver) {
  auto log = firmware_log(false);
  const auto own = log.events.size();
  for (const auto& event : firmware_log().events) {
    if (event.index == 7) {
      log.events.push_back(event);
    }
  }
  const auto guest = booted(log);
  ASSERT_EQ(judged(guest), "boot-separator");
  const auto relabelled = [&](EventType type, EventType separator) {
    auto shown = guest.log;
    for (std::size_t i = 0; i < own; ++i) {
      auto& event = shown.events[i];
      if (event.index == 7) {
        event.type = event.type == EventType::kSeparator ? separator : type;
      }
    }
    auto evidence = guest.evidence();
    evidence.event_log = encode(shown);
    return guest.judge(evidence);
  };
  for (const auto type : {EventType::kEfiAction, EventType::kEfiVariableAuthority}) {
    const auto verdict = relabelled(type, EventType::kEfiAction);
    EXPECT_FALSE(verdict.accepted);
    EXPECT_TRUE(fails_by(verdict, Reason::kBootSeparator)) << failures(verdict);
    EXPECT_TRUE(fails_by(verdict, Reason::kBootUnexpectedEvent)) << failures(verdict);
  }
}

TEST_F(BootAttackTest, OnlyActionsThatAreKnownBelongToTheBootPolicy) {
  const auto measured_action = [](const std::string& text) {
    return measured([&](EventLog& log) {
      log.events.insert(log.events.begin(),
                        log_event(7, EventType::kEfiAction, base::bytes_of(text)));
    });
  };
  EXPECT_EQ(measured_action("DMA Protection Disabled"), "accepted");
  EXPECT_EQ(measured_action(std::string("DMA Protection Disabled\0", 24)), "accepted");
  EXPECT_EQ(measured_action("DMA Protection Disabled?"), "boot-unexpected-event");
  EXPECT_EQ(measured_action("UEFI Debug Mode"), "boot-debug-mode");
  EXPECT_EQ(measured_action("Calling EFI Application"), "boot-unexpected-event");
  // A separator that tells of an error, which a type cannot hide either.
  for (const auto first : {std::byte{1}, std::byte{0xFF}}) {
    auto data = base::Bytes(4, first == std::byte{1} ? std::byte{0} : first);
    data.front() = first;
    auto log = firmware_log();
    log.events.insert(log.events.begin(), log_event(7, EventType::kEfiAction, data));
    const auto guest = booted(std::move(log));
    EXPECT_TRUE(fails_by(guest.judge(guest.evidence()), Reason::kBootSeparator));
  }
}

// E5.
TEST_F(BootAttackTest, FirmwareSaysWhenItIsDoneAndThatItWasNotDebugged) {
  const auto separator = place(firmware_log(), 7, 5);
  EXPECT_EQ(measured([&](EventLog& log) {
              log.events.erase(log.events.begin() + static_cast<std::ptrdiff_t>(separator));
            }),
            "boot-separator");
  EXPECT_EQ(measured([&](EventLog& log) {
              log.events[separator] =
                  log_event(7, EventType::kSeparator, base::Bytes(4, std::byte{1}));
            }),
            "boot-separator");
  EXPECT_EQ(measured([&](EventLog& log) { log.events.push_back(log.events[separator]); }),
            "boot-separator");
  EXPECT_EQ(measured([](EventLog& log) {
              log.events.insert(log.events.begin(), log_event(7, EventType::kEfiAction,
                                                              base::bytes_of("UEFI Debug Mode")));
            }),
            "boot-debug-mode");
  EXPECT_EQ(measured([](EventLog& log) {
              log.events.push_back(log_event(7, EventType::kIpl, base::bytes_of("grub")));
            }),
            "boot-unexpected-event");
}

// E7 and what stands around it.
TEST_F(BootAttackTest, SecureBootIsOnOrItIsNot) {
  EXPECT_EQ(judged(booted(firmware_log(false))), "boot-secure-boot-off");
  const auto first = place(firmware_log(), 7, 0);
  for (const auto& content : {base::Bytes(), base::Bytes(1, std::byte{2}), base::Bytes(2)}) {
    EXPECT_EQ(measured([&](EventLog& log) {
                log.events[first] =
                    variable_event(EventType::kEfiVariableDriverConfig, "SecureBoot", content);
              }),
              "boot-secure-boot-unknown");
  }
  EXPECT_EQ(measured([&](EventLog& log) {
              log.events.erase(log.events.begin() + static_cast<std::ptrdiff_t>(first));
            }),
            "boot-secure-boot-unknown");
  for (const char* name : {"PK", "KEK"}) {
    EXPECT_EQ(measured([&](EventLog& log) {
                const auto at = place(log, 7, name == std::string("PK") ? 1 : 2);
                log.events[at] = variable_event(EventType::kEfiVariableDriverConfig, name, {});
              }),
              "boot-keys-empty")
        << name;
  }
}

TEST_F(BootAttackTest, WhoVouchesForWhatIsStartedIsInDb) {
  EXPECT_EQ(measured([](EventLog& log) {
              const auto authority =
                  std::ranges::find(log.events, EventType::kEfiVariableAuthority, &LogEvent::type);
              *authority = variable_event(EventType::kEfiVariableAuthority, "db",
                                          base::Bytes(48, std::byte{9}));
            }),
            "boot-authority-unknown");
  EXPECT_EQ(measured([](EventLog& log) {
              std::erase_if(log.events, [](const LogEvent& event) {
                return event.type == EventType::kEfiVariableAuthority;
              });
            }),
            "boot-authority-unknown");
}

TEST_F(BootAttackTest, KeysAndForbiddenDigestsAreThoseOfThePolicy) {
  const auto guest = booted(firmware_log());
  const auto verdict = guest.judge(guest.evidence());
  ASSERT_TRUE(verdict.accepted) << failures(verdict);
  const auto& signer = verdict.claims->secure_boot->authorities.front();
  EXPECT_TRUE(signer.is_certificate);
  auto policy = guest.policy();
  policy.boot->keys = policy.boot->authorities = Expectation::one_of({signer.digest});
  EXPECT_EQ(judged(guest, policy), "accepted");
  policy.boot->keys = Expectation::one_of({base::Bytes(32)});
  EXPECT_EQ(judged(guest, policy), "boot-key-unknown");
  policy = guest.policy();
  policy.boot->authorities = Expectation::one_of({base::Bytes(32)});
  EXPECT_EQ(judged(guest, policy), "boot-authority-unknown");
  policy = guest.policy();
  policy.boot->forbidden = {base::Bytes(32, std::byte{5})};
  EXPECT_EQ(judged(guest, policy), "boot-dbx-too-old");
}

// A database may name what may be started by its hash: whoever enrols his loader so needs no
// certificate.
TEST_F(BootAttackTest, AHashInDbIsNoWayAroundTheLists) {
  const auto sha256_guid = *base::from_hex("2616c4c14c509240aca941f936934328");
  EfiSignature hash;
  std::ranges::copy(sha256_guid, hash.type.begin());
  hash.content = base::Bytes(32, std::byte{0xA5});
  auto log = firmware_log();
  const auto db = place(log, 7, 3);
  auto entries = *decode_signature_database(decode_efi_variable(log.events[db].data)->content);
  const auto vendor = base::copy_of(vmgs::crypto::sha256(entries.front().content));
  entries.push_back(hash);
  log.events[db] =
      variable_event(EventType::kEfiVariableDriverConfig, "db", encode_signature_database(entries));
  base::Bytes started(16);  // its owner
  started.insert(started.end(), hash.content.begin(), hash.content.end());
  *std::ranges::find(log.events, EventType::kEfiVariableAuthority, &LogEvent::type) =
      variable_event(EventType::kEfiVariableAuthority, "db", started);
  const auto guest = booted(std::move(log));
  auto policy = guest.policy();
  EXPECT_EQ(judged(guest, policy), "accepted");
  policy.boot->keys = Expectation::one_of({vendor});
  EXPECT_EQ(judged(guest, policy), "boot-key-unknown");
  policy.boot->keys = Expectation::one_of({vendor, hash.content});
  EXPECT_EQ(judged(guest, policy), "accepted");
  policy.boot->authorities = Expectation::one_of({vendor});
  EXPECT_EQ(judged(guest, policy), "boot-authority-unknown");
  policy.boot->authorities = Expectation::one_of({hash.content});
  EXPECT_EQ(judged(guest, policy), "accepted");
}

TEST_F(BootAttackTest, ABootIsNotJudgedWithoutItsPcr) {
  const auto guest = booted(firmware_log());
  auto policy = guest.policy();
  policy.quote.pcrs.erase(7);
  EXPECT_EQ(judged(guest, policy), "boot-pcr-missing");
}

// E9.
TEST_F(BootAttackTest, ALogOfAnotherBootDoesNotReplay) {
  auto other = firmware_log();
  other.events.back() =
      log_event(4, EventType::kEfiBootServicesApplication, base::bytes_of("another loader"));
  const auto verdict = shown([&](EventLog& log) { log = other; });
  EXPECT_EQ(reason(verdict), "log-replay");
}

TEST_F(BootAttackTest, ALogThatIsWantedMustBeThereAndReadable) {
  const auto guest = booted(firmware_log());
  auto evidence = guest.evidence();
  evidence.event_log->resize(evidence.event_log->size() - 1);
  EXPECT_EQ(reason(guest.judge(evidence)), "log-malformed");
  evidence.event_log.reset();
  EXPECT_EQ(reason(guest.judge(evidence)), "log-missing");
  // A log beside no quote explains nothing that anybody vouches for.
  evidence = guest.evidence();
  evidence.quotes.clear();
  EXPECT_FALSE(guest.judge(evidence).accepted);
}

}  // namespace
}  // namespace tests::integration
