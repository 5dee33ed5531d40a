// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/checkpoints.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <utility>

#include "keybroker/broker/answer.h"
#include "tools/cli/message.h"
#include "tools/cli/stream.h"
#include "vmgs/base/log.h"

namespace tools::keybrokerd {

namespace {

namespace api = strongroom::broker::v1;
namespace store = keybroker::store;
using base::ErrorCode;

constexpr std::string_view kLabel = "strongroom.checkpoint/1";
constexpr std::size_t kMostFileBytes = 64 * 1024;

base::Result<store::Checkpoint> decode(const base::SecretBytes& content) {
  const auto bytes = content.expose();
  api::SignedCheckpoint message;
  TRY(cli::from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, message));
  return checkpoint_of(message);
}

bool is_recovering(const Office& office, keybroker::crypto::Time now) {
  const auto& until = office.rules.recovery_until;
  return until && now <= *until;
}

}  // namespace

base::Result<std::unique_ptr<SeenCheckpoint>> SeenCheckpoint::open(std::filesystem::path file) {
  const auto content = cli::read_input(file.string(), kMostFileBytes);
  if (!content) {
    if (content.error().code != ErrorCode::kNotFound) {
      return base::fail(base::Error(content.error()));
    }
    return std::unique_ptr<SeenCheckpoint>(new SeenCheckpoint(std::move(file), std::nullopt));
  }
  auto seen = decode(*content);
  if (!seen) {
    return base::fail(ErrorCode::kCorrupt, file.string() + " is damaged: " + seen.error().message +
                                               ". Restore it from a backup");
  }
  return std::unique_ptr<SeenCheckpoint>(new SeenCheckpoint(std::move(file), *std::move(seen)));
}

std::optional<store::Checkpoint> SeenCheckpoint::get() const {
  const std::lock_guard lock(mutex_);
  return seen_;
}

base::Result<void> SeenCheckpoint::keep(const store::Checkpoint& checkpoint) {
  const auto text = boost::json::serialize(cli::to_json(checkpoint_message(checkpoint))) + "\n";
  const std::lock_guard lock(mutex_);
  TRY(cli::write_file(file_, base::bytes_of(text)));
  seen_ = checkpoint;
  return {};
}

base::Result<void> make_checkpoint(Desk& desk, SeenCheckpoint& seen, keybroker::crypto::Time now) {
  const auto& rules = desk.office.rules;
  const auto known = seen.get();
  if (known && is_recovering(desk.office, now)) {
    base::log(
        base::LogLevel::kWarning,
        "recovery: the log is taken as it is on record, even if it is older than checkpoint " +
            std::to_string(known->id));
  }
  const auto sign = [&rules](base::ByteView message) -> base::Result<base::Bytes> {
    TRY_ASSIGN(made, rules.signer.sign(kLabel, {}, message));
    return keybroker::broker::encode(made);
  };
  TRY_ASSIGN(made,
             store::make_checkpoint(desk.records.sql(), now, sign, checkpoint_verifier(desk.office),
                                    must_have(desk.office, seen, now)));
  return seen.keep(made);
}

std::optional<store::Checkpoint> must_have(const Office& office, const SeenCheckpoint& seen,
                                           keybroker::crypto::Time now) {
  return is_recovering(office, now) ? std::nullopt : seen.get();
}

store::Verifier checkpoint_verifier(const Office& office) {
  return [&office](base::ByteView message, base::ByteView signature) -> base::Result<void> {
    TRY_ASSIGN(made, keybroker::broker::decode_signed_message(signature));
    TRY_ASSIGN(body, keybroker::crypto::verify_signed_message(
                         kLabel, {}, made, office.rules.receipt_roots, std::nullopt));
    if (!std::ranges::equal(body, message)) {
      return base::fail(ErrorCode::kAuthentication, "the signature is of another checkpoint");
    }
    return {};
  };
}

api::SignedCheckpoint checkpoint_message(const store::Checkpoint& checkpoint) {
  const auto body = store::signed_bytes(checkpoint);
  api::SignedCheckpoint message;
  message.set_body(body.data(), body.size());
  message.set_signature(checkpoint.signature.data(), checkpoint.signature.size());
  message.set_id(checkpoint.id);
  message.mutable_time()->set_seconds(checkpoint.time.time_since_epoch().count());
  message.set_chains(checkpoint.count);
  return message;
}

base::Result<store::Checkpoint> checkpoint_of(const api::SignedCheckpoint& message) {
  return store::decode_checkpoint(base::bytes_of(message.body()),
                                  base::bytes_of(message.signature()));
}

}  // namespace tools::keybrokerd
