// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "keybroker/broker/cluster_secret.h"
#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/private_key.h"
#include "keybroker/crypto/signed_message.h"
#include "keybroker/crypto/time.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace keybroker::broker {

// What a broker must keep, each in a file of its own that is closed to others. None of it is in the
// record store, and a backup of that is worth nothing without the master keys of keybroker/hsm.
//   - BrokerRoot: its hash stands in launch documents. It signs the certificate of a new answer key
//     and is needed for nothing else: keep it off the machines that answer.
//   - AnswerKey: signs answers, refusals and receipts. Each replica may have one of its own.
//   - ClusterSecrets: the same for all replicas.

// BrokerRoot is a self-signed certificate and its key.
struct BrokerRoot {
  crypto::PrivateKey key;
  crypto::Certificate certificate;
};

// AnswerKey is a key that may sign messages, and its chain: the signer first, the root last.
struct AnswerKey {
  crypto::PrivateKey key;
  std::vector<crypto::Certificate> chain;

  // signer() signs with it. kInvalidArgument if the chain does not say that it may.
  [[nodiscard]] base::Result<crypto::MessageSigner> signer() const;
};

// make_broker_root() draws a root of 10 years, make_answer_key() a key of one year under it, or
// until the root ends.
base::Result<BrokerRoot> make_broker_root(crypto::Time now);
base::Result<AnswerKey> make_answer_key(const BrokerRoot& root, crypto::Time now);

inline constexpr std::size_t kMaxBrokerKeyFileBytes = 16 * 1024;

// encode() writes PEM: the private key (PKCS #8, not encrypted), then certificates. The decoders
// read that. kCorrupt, saying what is wrong, for anything else: more than 16 KiB, a key that is not
// its certificate's, a chain that does not hold.
base::Result<base::SecretBytes> encode(const BrokerRoot& root);
base::Result<base::SecretBytes> encode(const AnswerKey& key);
base::Result<BrokerRoot> decode_broker_root(const base::SecretBytes& pem);
base::Result<AnswerKey> decode_answer_key(const base::SecretBytes& pem);

// encode() writes one line for each version, the newest last: its number, a space, 64 hexadecimal
// digits, " accepted" if it is no more than that, a line feed. decode_cluster_secrets() reads that
// and nothing else; kCorrupt otherwise.
base::SecretBytes encode(const ClusterSecrets& secrets);
base::Result<ClusterSecrets> decode_cluster_secrets(const base::SecretBytes& text);

}  // namespace keybroker::broker
