// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/broker_folder.h"

#include <sys/stat.h>

#include <chrono>
#include <string>
#include <system_error>

#include "vmgs/base/log.h"
#include "vmgs/storage/private_file.h"
#include "vmgs/storage/system_error.h"

namespace tools::keybrokerd {

namespace {

namespace fs = std::filesystem;
namespace broker = keybroker::broker;
using base::ErrorCode;

// An answer key is replaced while it still has this long to go.
constexpr auto kAnswerKeyReserve = std::chrono::days(60);

base::Result<base::SecretBytes> read(const fs::path& file) {
  return vmgs::storage::read_private_file(file, vmgs::storage::OtherReaders::kNone,
                                          broker::kMaxBrokerKeyFileBytes);
}

auto damaged(const fs::path& file, const base::Error& error) {
  return base::fail(ErrorCode::kCorrupt,
                    file.string() + " is damaged: " + error.message + ". Restore it from a backup");
}

auto lost(const fs::path& file, const std::string& what) {
  return base::fail(ErrorCode::kCorrupt, file.string() +
                                             " is not there, and the broker has records: " + what +
                                             ". Restore it from a backup");
}

// The files of secrets have one form: a version and its secret in each line.
base::Result<broker::ClusterSecrets> open_secrets(const fs::path& file, bool is_new,
                                                  const std::string& without_it) {
  const auto content = read(file);
  if (content) {
    auto decoded = broker::decode_cluster_secrets(*content);
    if (!decoded) {
      return damaged(file, decoded.error());
    }
    return decoded;
  }
  if (content.error().code != ErrorCode::kNotFound) {
    return base::fail(base::Error(content.error()));
  }
  if (!is_new) {
    return lost(file, without_it);
  }
  TRY_ASSIGN(made, broker::ClusterSecrets::generate());
  TRY(vmgs::storage::create_private_file(file, broker::encode(made).expose()));
  return made;
}

base::Result<std::vector<keybroker::hsm::MasterKey>> master_keys_of(
    const broker::ClusterSecrets& secrets, const fs::path& file) {
  std::vector<keybroker::hsm::MasterKey> keys;
  for (const auto& version : secrets.versions()) {
    if (version.number > 255) {
      return base::fail(ErrorCode::kCorrupt, file.string() + " has a version above 255");
    }
    keys.push_back({static_cast<std::uint8_t>(version.number),
                    base::Secret<32>::copy_of(version.bytes.expose())});
  }
  return keys;
}

// There is one version: a row that is sealed under another is not this broker's.
base::Result<base::Secret<32>> open_records_key(const fs::path& file, bool is_new) {
  TRY_ASSIGN(kept, open_secrets(file, is_new,
                                "what decides who gets a key is believed only under its seal"));
  if (kept.versions().size() != 1) {
    return base::fail(ErrorCode::kCorrupt, file.string() + " has more than one key; it has one");
  }
  return base::Secret<32>::copy_of(kept.newest().bytes.expose());
}

base::Result<broker::AnswerKey> renew_answer_key(const fs::path& folder,
                                                 const broker::BrokerRoot& root,
                                                 keybroker::crypto::Time now) {
  const auto file = folder / "answer.pem";
  TRY_ASSIGN(made, broker::make_answer_key(root, now));
  TRY_ASSIGN(encoded, broker::encode(made));
  std::error_code ignored;
  fs::remove(file, ignored);
  TRY(vmgs::storage::create_private_file(file, encoded.expose()));
  base::log(base::LogLevel::kInfo, file.string() + " is new");
  return made;
}

base::Result<broker::AnswerKey> open_answer_key(const fs::path& folder, bool is_new,
                                                keybroker::crypto::Time now) {
  const auto root_file = folder / "root.pem";
  const auto answer_file = folder / "answer.pem";
  const auto answer = read(answer_file);
  const auto root_content = read(root_file);
  if (answer) {
    auto key = broker::decode_answer_key(*answer);
    if (!key) {
      return damaged(answer_file, key.error());
    }
    if (now < key->chain.front().not_after() - kAnswerKeyReserve) {
      return key;
    }
    if (!root_content) {
      base::log(base::LogLevel::kWarning,
                answer_file.string() + " ends " +
                    keybroker::crypto::to_text(key->chain.front().not_after()) + ", and " +
                    root_file.string() + " is not there to sign another: bring it back once");
      return key;
    }
  }
  if (!root_content) {
    if (!is_new || root_content.error().code != ErrorCode::kNotFound) {
      return lost(root_file, "VMs believe what it has signed, and nothing else");
    }
    TRY_ASSIGN(root, broker::make_broker_root(now));
    TRY_ASSIGN(encoded, broker::encode(root));
    TRY(vmgs::storage::create_private_file(root_file, encoded.expose()));
    base::log(base::LogLevel::kInfo, root_file.string() +
                                         " is new; its SHA-256, for launch documents, is " +
                                         base::to_hex(root.certificate.fingerprint()));
    return renew_answer_key(folder, root, now);
  }
  auto root = broker::decode_broker_root(*root_content);
  if (!root) {
    return damaged(root_file, root.error());
  }
  return renew_answer_key(folder, *root, now);
}

base::Result<broker::TokenKeys> open_token_keys(const fs::path& file, bool is_new) {
  const auto content = read(file);
  if (content) {
    auto keys = broker::decode_token_keys(*content);
    if (!keys) {
      return damaged(file, keys.error());
    }
    return keys;
  }
  if (content.error().code != ErrorCode::kNotFound) {
    return base::fail(base::Error(content.error()));
  }
  TRY_ASSIGN(made, broker::TokenKeys::generate());
  TRY_ASSIGN(encoded, broker::encode(made));
  TRY(vmgs::storage::create_private_file(file, encoded.expose()));
  if (!is_new) {
    base::log(base::LogLevel::kWarning,
              file.string() +
                  " was not there, beside records, and is new: tokens that were signed before are "
                  "refused, and so are those of other replicas until all have this file");
  }
  return made;
}

}  // namespace

base::Result<BrokerFolder> open_broker_folder(const fs::path& folder, bool is_new,
                                              keybroker::crypto::Time now) {
  std::error_code ignored;
  fs::create_directories(folder.parent_path(), ignored);
  if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return base::fail(vmgs::storage::system_error(errno, "cannot make " + folder.string()));
  }
  const auto master_file = folder / "master.key";
  TRY_ASSIGN(master, open_secrets(master_file, is_new,
                                  "the keys of tenants that have no token are wrapped under it"));
  TRY_ASSIGN(master_keys, master_keys_of(master, master_file));
  TRY_ASSIGN(records_key, open_records_key(folder / "records.key", is_new));
  TRY_ASSIGN(secrets, open_secrets(folder / "cluster.secrets", is_new,
                                   "VMs that run prove themselves by keys computed from it"));
  TRY_ASSIGN(answer_key, open_answer_key(folder, is_new, now));
  TRY_ASSIGN(token_keys, open_token_keys(folder / "tokens.pem", is_new));
  return BrokerFolder{std::move(master_keys), std::move(records_key), std::move(secrets),
                      std::move(answer_key), std::move(token_keys)};
}

}  // namespace tools::keybrokerd
