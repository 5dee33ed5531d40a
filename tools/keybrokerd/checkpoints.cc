// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/checkpoints.h"

#include <algorithm>

#include "keybroker/broker/answer.h"

namespace tools::keybrokerd {

namespace {

namespace store = keybroker::store;

constexpr std::string_view kLabel = "strongroom.checkpoint/1";

}  // namespace

base::Result<store::Checkpoint> make_checkpoint(Desk& desk, keybroker::crypto::Time now) {
  const auto& signer = desk.office.rules.signer;
  return store::make_checkpoint(desk.records.sql(), now,
                                [&](base::ByteView message) -> base::Result<base::Bytes> {
                                  TRY_ASSIGN(made, signer.sign(kLabel, {}, message));
                                  return keybroker::broker::encode(made);
                                });
}

store::Verifier checkpoint_verifier(const Office& office) {
  return [&office](base::ByteView message, base::ByteView signature) -> base::Result<void> {
    TRY_ASSIGN(made, keybroker::broker::decode_signed_message(signature));
    TRY_ASSIGN(body, keybroker::crypto::verify_signed_message(
                         kLabel, {}, made, office.rules.receipt_roots, std::nullopt));
    if (!std::ranges::equal(body, message)) {
      return base::fail(base::ErrorCode::kAuthentication, "the signature is of another checkpoint");
    }
    return {};
  };
}

base::Result<std::optional<store::Checkpoint>> newest_checkpoint(store::Sql& sql) {
  TRY_ASSIGN(rows, sql.execute("SELECT max(id) FROM checkpoint", {}));
  const auto* id = rows.empty() ? nullptr : std::get_if<std::int64_t>(&rows.front().front());
  if (id == nullptr) {
    return std::optional<store::Checkpoint>();
  }
  TRY_ASSIGN(newest, store::checkpoints(sql, static_cast<std::uint64_t>(*id), 1));
  return newest.empty() ? std::optional<store::Checkpoint>() : std::optional(newest.front());
}

}  // namespace tools::keybrokerd
