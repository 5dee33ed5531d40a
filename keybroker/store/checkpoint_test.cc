// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/checkpoint.h"

#include <gtest/gtest.h>

#include "keybroker/store/audit_log.h"
#include "keybroker/store/columns.h"
#include "tests/support/error_code.h"
#include "tests/support/record_fixture.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::store {
namespace {

using base::ErrorCode;
using namespace tests::support;

// A key that signs by a keyed digest: the records only hand bytes to a signer.
base::Result<base::Bytes> sign(base::ByteView message) {
  return base::copy_of(vmgs::crypto::hmac_sha256(base::bytes_of("key"), message));
}

base::Result<void> verify(base::ByteView message, base::ByteView signature) {
  if (base::copy_of(signature) != *sign(message)) {
    return base::fail(ErrorCode::kAuthentication, "the signature does not hold");
  }
  return {};
}

const Subject kVmLog = vm_subject(kVm);

class CheckpointTest : public RecordFixture {
 protected:
  CheckpointTest() : records_(open()) {
    register_one(records_);
    for (std::uint8_t i = 0; i < 5; ++i) {
      granted(records_.claim(claim_of(i, i, i), act()));
    }
  }

  base::Result<Checkpoint> make(crypto::Time now = kNow,
                                const std::optional<Checkpoint>& known = std::nullopt) {
    const auto counting = [this](base::ByteView message) {
      ++signed_;
      return sign(message);
    };
    return make_checkpoint(records_.sql(), now, counting, verify, known);
  }

  // What somebody does who can write the database.
  void tamper(std::string_view statement, const std::vector<Value>& parameters = {}) {
    const auto done = records_.sql().execute(statement, parameters);
    ASSERT_TRUE(done) << done.error().message;
  }

  // rewrite() computes kVm's chain anew with other words in line `from`: it needs no key.
  void rewrite(std::uint64_t from) {
    Sha256Digest previous = from == 1 ? Sha256Digest{} : records_.log_line(kVmLog, from - 1)->hash;
    const auto end = *verify_chain(records_.sql(), kVmLog);
    for (auto at = from; at <= end; ++at) {
      auto line = *records_.log_line(kVmLog, at);
      line.content = at == from ? "{\"by\":\"alice\"}" : line.content;
      line.hash = audit_hash(previous, line);
      tamper("UPDATE audit SET content = $3, hash = $4 WHERE subject = $1 AND seq = $2",
             {value_of(kVmLog), value_of(at), line.content, value_of(line.hash)});
      previous = line.hash;
    }
    tamper("UPDATE chain SET head = $2 WHERE subject = $1", {value_of(kVmLog), value_of(previous)});
  }

  [[nodiscard]] std::string finding() {
    const auto verified = verify_chain(records_.sql(), kVmLog);
    EXPECT_TRUE(verified || verified.error().code == ErrorCode::kCorrupt);
    return verified ? "intact" : verified.error().message;
  }

  BrokerRecords records_;
  int signed_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Engines, CheckpointTest, engines(), engine_name);

TEST_P(CheckpointTest, ACheckpointSpeaksForAllChains) {
  const auto first = make();
  ASSERT_TRUE(first) << first.error().message;
  granted(records_.claim(claim_of(9, 5, 9), act()));
  const auto second = make(kNow + std::chrono::hours(1));
  ASSERT_TRUE(second);

  EXPECT_EQ(first->count, 3U);
  EXPECT_NE(first->root, second->root);
  EXPECT_EQ(second->previous, vmgs::crypto::sha256(signed_bytes(*first)));
  EXPECT_EQ(*checkpoints(records_.sql(), 0, 10), (std::vector{*first, *second}));
  EXPECT_TRUE(verify_checkpoint(records_.sql(), *first, verify));
  EXPECT_TRUE(verify_checkpoint(records_.sql(), *second, verify));
  auto forged = *second;
  forged.time += std::chrono::seconds(1);
  EXPECT_EQ(error_code(verify_checkpoint(records_.sql(), forged, verify)),
            ErrorCode::kAuthentication);
}

// A chain that is cut at a line, head and all, is a good chain. Only the copy of a checkpoint
// tells.
TEST_P(CheckpointTest, AChainThatWasCutIsFoundByTheCheckpoint) {
  const auto checkpoint = *make();
  tamper("DELETE FROM audit WHERE subject = $1 AND seq > 4", {value_of(kVmLog)});
  tamper("UPDATE chain SET seq = 4, head = $2 WHERE subject = $1",
         {value_of(kVmLog), value_of(records_.log_line(kVmLog, 4)->hash)});
  EXPECT_EQ(finding(), "intact");

  const auto cut = verify_checkpoint(records_.sql(), checkpoint, verify);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(cut.error().message.find("before its line 6"), std::string::npos)
      << cut.error().message;

  // Making the checkpoint's own rows fit does not help against its root.
  tamper("UPDATE checkpoint_head SET seq = 4, head = $2 WHERE subject = $1",
         {value_of(kVmLog), value_of(records_.log_line(kVmLog, 4)->hash)});
  EXPECT_EQ(error_code(verify_checkpoint(records_.sql(), checkpoint, verify)), ErrorCode::kCorrupt);
}

// So is one whose end was written anew.
TEST_P(CheckpointTest, AChainThatWasRewrittenIsFoundByTheCheckpoint) {
  const auto checkpoint = *make();
  auto line = *records_.log_line(kVmLog, 6);
  line.content = "{}";
  line.hash = audit_hash(records_.log_line(kVmLog, 5)->hash, line);
  tamper("UPDATE audit SET content = $2, hash = $3 WHERE subject = $1 AND seq = 6",
         {value_of(kVmLog), line.content, value_of(line.hash)});
  tamper("UPDATE chain SET head = $2 WHERE subject = $1", {value_of(kVmLog), value_of(line.hash)});
  EXPECT_EQ(finding(), "intact");

  EXPECT_EQ(error_code(verify_checkpoint(records_.sql(), checkpoint, verify)), ErrorCode::kCorrupt);
}

TEST_P(CheckpointTest, AChainThatWasTakenOutIsFoundByTheCheckpoint) {
  const auto checkpoint = *make();
  // With the chain's end gone first nobody recomputes its lines any more.
  for (const std::string_view table :
       {"DELETE FROM chain WHERE subject = $1", "DELETE FROM audit WHERE subject = $1",
        "DELETE FROM checkpoint_head WHERE subject = $1"}) {
    tamper(table, {value_of(tenant_subject(kOwner))});
    EXPECT_EQ(error_code(verify_checkpoint(records_.sql(), checkpoint, verify)),
              ErrorCode::kCorrupt);
  }
}

// Nothing of a log that was rewritten gets a signature: whoever can write the database cannot have
// the broker vouch for it.
TEST_P(CheckpointTest, ARewrittenChainIsNotSigned) {
  ASSERT_TRUE(make());
  rewrite(2);
  ASSERT_EQ(finding(), "intact");

  const auto refused = make();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(refused.error().message.find("was cut or changed before its line 6"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(signed_, 1);
  EXPECT_EQ(checkpoints(records_.sql(), 0, 10)->size(), 1U);
}

TEST_P(CheckpointTest, AChainThatWasSetBackIsNotSigned) {
  ASSERT_TRUE(make());
  // The lines stay where they are, so that only the head tells.
  tamper("UPDATE chain SET seq = 5, head = $2 WHERE subject = $1",
         {value_of(kVmLog), value_of(records_.log_line(kVmLog, 5)->hash)});
  const auto refused = make();
  EXPECT_EQ(error_code(refused), ErrorCode::kCorrupt);
  EXPECT_NE(refused.error().message.find("was set back"), std::string::npos);
  EXPECT_EQ(signed_, 1);
}

TEST_P(CheckpointTest, AChainThatWasTakenOutIsNotMissedInSilence) {
  ASSERT_TRUE(make());
  tamper("DELETE FROM chain WHERE subject = $1", {value_of(tenant_subject(kOwner))});
  const auto refused = make();
  EXPECT_EQ(error_code(refused), ErrorCode::kCorrupt);
  EXPECT_NE(refused.error().message.find("was taken out"), std::string::npos);
  EXPECT_EQ(signed_, 1);
}

TEST_P(CheckpointTest, NothingIsSignedAfterACheckpointThatIsForged) {
  ASSERT_TRUE(make());
  tamper("UPDATE checkpoint SET time = time + 1");
  EXPECT_EQ(error_code(make()), ErrorCode::kAuthentication);
  EXPECT_EQ(signed_, 1);
}

// With all checkpoints gone the log looks as if it had never had one. Who saw one knows better.
TEST_P(CheckpointTest, CheckpointsThatWereTakenOutAreMissedByWhoSawOne) {
  const auto known = *make();
  tamper("DELETE FROM checkpoint_head");
  tamper("DELETE FROM checkpoint");
  rewrite(2);
  const auto refused = make(kNow, known);
  EXPECT_EQ(error_code(refused), ErrorCode::kCorrupt);
  EXPECT_NE(refused.error().message.find("is not on record any more"), std::string::npos);
  EXPECT_EQ(signed_, 1);

  // Another in its place is another.
  ASSERT_TRUE(make(kNow + std::chrono::seconds(1)));
  EXPECT_EQ(error_code(make(kNow, known)), ErrorCode::kCorrupt);
}

TEST_P(CheckpointTest, OnlyHeadsThatMovedAreWritten) {
  ASSERT_TRUE(make());
  granted(records_.claim(claim_of(9, 5, 9), act()));
  ASSERT_TRUE(make());
  ASSERT_TRUE(make());
  const auto rows = records_.sql().execute(
      "SELECT checkpoint, count(*) FROM checkpoint_head GROUP BY checkpoint ORDER BY checkpoint",
      {});
  EXPECT_EQ(*rows, (std::vector<Row>{{std::int64_t{1}, std::int64_t{3}},
                                     {std::int64_t{2}, std::int64_t{1}}}));
}

// More chains than fit into a page, or into one statement.
TEST_P(CheckpointTest, ManyChainsAreAllSpokenFor) {
  ASSERT_TRUE(records_.sql().transaction([&]() -> base::Result<Then> {
    for (int i = 0; i < 2100; ++i) {
      Uuid subject = id(0x77);
      subject[0] = static_cast<std::byte>(i >> 8);
      subject[1] = static_cast<std::byte>(i);
      TRY(append_audit(records_.sql(), vm_subject(subject), "noted", act()));
    }
    return Then::kCommit;
  }));
  const auto first = make();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->count, 2103U);
  EXPECT_TRUE(verify_checkpoint(records_.sql(), *first, verify));
  EXPECT_EQ(make()->root, first->root);
}

// Boots are written down while a checkpoint is computed and signed: it holds no lock meanwhile.
TEST_P(CheckpointTest, OthersWriteWhileOneIsMade) {
  auto other = this->open();
  bool wrote = false;
  const auto made = make_checkpoint(
      records_.sql(), kNow,
      [&](base::ByteView message) {
        wrote = refused(other.claim(claim_of(9, 5, 9), act())) == std::nullopt;
        return sign(message);
      },
      verify, std::nullopt);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(wrote);
  EXPECT_TRUE(verify_checkpoint(records_.sql(), *made, verify));
  EXPECT_TRUE(make());
}

TEST_P(CheckpointTest, TheOneThatAnotherMadeMeanwhileIsAsGood) {
  auto other = this->open();
  std::optional<Checkpoint> theirs;
  const auto made = make_checkpoint(
      records_.sql(), kNow,
      [&](base::ByteView message) {
        theirs = *make_checkpoint(other.sql(), kNow, sign, verify, std::nullopt);
        return sign(message);
      },
      verify, std::nullopt);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(*made, *theirs);
  EXPECT_EQ(checkpoints(records_.sql(), 0, 10)->size(), 1U);
}

// Somebody who saw a checkpoint coming puts one of the next number before it.
TEST_P(CheckpointTest, AForgedOneInItsPlaceIsNotGiven) {
  const auto made = make_checkpoint(
      records_.sql(), kNow,
      [&](base::ByteView message) {
        tamper(
            "INSERT INTO checkpoint (id, time, count, root, previous, signature) "
            "VALUES (1, 0, 0, $1, $1, $2)",
            {value_of(Sha256Digest{}), base::Bytes(32)});
        return sign(message);
      },
      verify, std::nullopt);
  EXPECT_EQ(error_code(made), ErrorCode::kAuthentication);
}

// UnsureSql loses the answer to each COMMIT.
class UnsureSql final : public Sql {
 public:
  explicit UnsureSql(std::unique_ptr<Sql> below) : below_(std::move(below)) {}

  base::Result<std::vector<Row>> execute(std::string_view statement,
                                         const std::vector<Value>& parameters) override {
    return below_->execute(statement, parameters);
  }

  base::Result<void> is_durable() override { return below_->is_durable(); }

  [[nodiscard]] bool is_sqlite() const override { return below_->is_sqlite(); }

 protected:
  base::Result<void> begin() override {
    TRY(below_->execute("BEGIN", {}));
    return {};
  }

  base::Result<Commit> commit() override {
    TRY(below_->execute("COMMIT", {}));
    return Commit::kUnknown;
  }

  void roll_back() override { EXPECT_TRUE(below_->execute("ROLLBACK", {})); }

  [[nodiscard]] bool conflicted() const override { return false; }

 private:
  std::unique_ptr<Sql> below_;
};

// What may yet be lost in a failover is not told of: whoever kept it would miss it for good.
TEST_P(CheckpointTest, OneThatIsNotKnownToLastIsNotGiven) {
  UnsureSql unsure(connect());
  EXPECT_EQ(error_code(make_checkpoint(unsure, kNow, sign, verify, std::nullopt)),
            ErrorCode::kUnavailable);
  // The next goes on from whatever is there.
  EXPECT_EQ(make()->id, 2U);
}

TEST_P(CheckpointTest, AllCheckpointsFollowEachOther) {
  EXPECT_EQ(*verify_checkpoints(records_.sql(), verify), 0U);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(make(kNow + std::chrono::minutes(i)));
  }
  EXPECT_EQ(*verify_checkpoints(records_.sql(), verify), 4U);

  // A past one with a signature that holds, over something else.
  auto forged = checkpoints(records_.sql(), 2, 1)->front();
  forged.count = 17;
  tamper("UPDATE checkpoint SET count = 17, signature = $1 WHERE id = 2",
         {*sign(signed_bytes(forged))});
  const auto broken = verify_checkpoints(records_.sql(), verify);
  EXPECT_EQ(error_code(broken), ErrorCode::kCorrupt);
  EXPECT_EQ(broken.error().message, "checkpoint 3 does not follow the one before");
}

TEST_P(CheckpointTest, ACheckpointThatIsMissingOrUnsignedIsFound) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(make(kNow + std::chrono::minutes(i)));
  }
  tamper("UPDATE checkpoint SET signature = $1 WHERE id = 2", {base::Bytes(32)});
  EXPECT_EQ(error_code(verify_checkpoints(records_.sql(), verify)), ErrorCode::kAuthentication);
  tamper("DELETE FROM checkpoint_head WHERE checkpoint = 2");
  tamper("DELETE FROM checkpoint WHERE id = 2");
  EXPECT_EQ(error_code(verify_checkpoints(records_.sql(), verify)), ErrorCode::kCorrupt);
}

TEST_P(CheckpointTest, ACopyIsReadBackAsItWas) {
  const auto made = *make();
  EXPECT_EQ(*decode_checkpoint(signed_bytes(made), made.signature), made);

  auto bytes = signed_bytes(made);
  bytes.push_back(std::byte{0});
  EXPECT_EQ(error_code(decode_checkpoint(bytes, made.signature)), ErrorCode::kCorrupt);
  bytes.resize(bytes.size() - 2);
  EXPECT_EQ(error_code(decode_checkpoint(bytes, made.signature)), ErrorCode::kCorrupt);
  bytes = signed_bytes(made);
  bytes[0] = std::byte{'S'};
  EXPECT_EQ(error_code(decode_checkpoint(bytes, made.signature)), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace keybroker::store
