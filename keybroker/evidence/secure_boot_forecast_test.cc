// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/secure_boot_forecast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/evidence/replay.h"
#include "tests/support/error_code.h"
#include "tests/support/evidence_vectors.h"

namespace keybroker::evidence {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto kBank = crypto::Hash::kSha256;
constexpr std::uint32_t kSecureBootPcr = 7;

// Logs that firmware wrote on real machines.
class SecureBootForecastTest : public tests::support::EvidenceVectors,
                               public testing::WithParamInterface<const char*> {
 protected:
  static EventLog log() {
    return *decode_event_log(tests::support::read_evidence_vector(GetParam()));
  }

  static base::Bytes replayed(const EventLog& log) {
    return replay(log, kBank, Registers::kPcrs)->at(kSecureBootPcr).value;
  }

  // What the variables were when the log was written, in the order in which they were measured.
  static std::vector<EfiVariable> variables_of(const EventLog& log) {
    std::vector<EfiVariable> variables;
    for (const auto& event : log.events) {
      if (event.index == kSecureBootPcr && event.type == EventType::kEfiVariableDriverConfig) {
        variables.push_back(*decode_efi_variable(event.data));
      }
    }
    return variables;
  }

  static EfiVariable& named(std::vector<EfiVariable>& variables, std::string_view name) {
    return *std::find_if(variables.begin(), variables.end(),
                         [&](const EfiVariable& each) { return each.plain_name() == name; });
  }
};

TEST_P(SecureBootForecastTest, IsWhatTheLogCameToWhereNothingChanged) {
  const auto forecast = *forecast_secure_boot(variables_of(log()), kBank, log());

  EXPECT_EQ(forecast.pcr7, replayed(log()));
  EXPECT_THAT(forecast.notes, IsEmpty());
}

TEST_P(SecureBootForecastTest, WithoutALogItIsThePcrAtTheSeparator) {
  auto before = log();
  const auto separator =
      std::find_if(before.events.begin(), before.events.end(), [](const LogEvent& event) {
        return event.index == kSecureBootPcr && event.type == EventType::kSeparator;
      });
  ASSERT_NE(separator, before.events.end());
  before.events.erase(separator + 1, before.events.end());

  EXPECT_EQ(forecast_secure_boot(variables_of(before), kBank).pcr7, replayed(before));
}

TEST_P(SecureBootForecastTest, IsWhatALogWithTheChangedVariableComesTo) {
  auto variables = variables_of(log());
  named(variables, "dbx").content.emplace_back();
  auto changed = log();
  for (auto& event : changed.events) {
    const auto was = decode_efi_variable(event.data);
    if (event.index == kSecureBootPcr && event.type == EventType::kEfiVariableDriverConfig &&
        was->plain_name() == "dbx") {
      event.data = encode(named(variables, "dbx"));
      for (auto& digest : event.digests) {
        if (digest.algorithm == tpm_of_hash(kBank)) {
          digest.bytes = crypto::digest(kBank, event.data);
        }
      }
    }
  }

  const auto forecast = *forecast_secure_boot(variables, kBank, log());

  EXPECT_EQ(forecast.pcr7, replayed(changed));
  EXPECT_NE(forecast.pcr7, replayed(log()));
  EXPECT_THAT(forecast.notes, Contains(HasSubstr("measures another dbx")));
}

INSTANTIATE_TEST_SUITE_P(Logs, SecureBootForecastTest,
                         testing::Values("tpm/evlog-secureboot-on.bin",
                                         "tpm/evlog-snp-secureboot-off.bin",
                                         "tpm/gce-quote.eventlog.bin"),
                         [](const auto& log) { return std::to_string(log.index); });

// An entry of db vouched for the loader; a log like that of a small boot.
TEST(SecureBootForecastNoteTest, SaysWhereWhatVouchedIsGone) {
  const EfiSignature loader{.type = {}, .owner = {}, .content = base::Bytes(32, std::byte{4})};
  EfiVariable db{.guid = {}, .name = u"db", .content = encode_signature_database({loader})};
  auto entry = base::copy_of(loader.owner);
  entry.insert(entry.end(), loader.content.begin(), loader.content.end());
  const auto data = encode(EfiVariable{.guid = {}, .name = u"db", .content = entry});
  EventLog log;
  log.algorithms = {{kTpmSha256, 32}};
  log.events = {{.number = 1,
                 .index = kSecureBootPcr,
                 .type = EventType::kEfiVariableAuthority,
                 .digests = {{kTpmSha256, crypto::digest(kBank, data)}},
                 .data = data}};

  EXPECT_THAT(forecast_secure_boot({db}, kBank, log)->notes, IsEmpty());
  db.content.clear();
  EXPECT_THAT(forecast_secure_boot({db}, kBank, log)->notes,
              Contains(HasSubstr("is there no more")));
  EXPECT_EQ(tests::support::error_code(forecast_secure_boot({db}, crypto::Hash::kSha384, log)),
            base::ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace keybroker::evidence
