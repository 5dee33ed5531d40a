// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/office.h"

#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "keybroker/evidence/policy_json.h"
#include "keybroker/protocol/uuid.h"
#include "keybroker/store/postgres.h"
#include "keybroker/store/schema.h"
#include "keybroker/store/sqlite.h"
#include "tools/collateral/folder.h"
#include "tools/collateral/read.h"
#include "tools/collateral/simulators.h"
#include "tools/daemon/authority_folder.h"
#include "tools/keybrokerd/broker_folder.h"
#include "vmgs/storage/private_file.h"

namespace tools::keybrokerd {

namespace {

namespace broker = keybroker::broker;
namespace evidence = keybroker::evidence;
namespace hsm = keybroker::hsm;
namespace store = keybroker::store;
using base::ErrorCode;

// Owners say by release policies whose image they take; a broker's floor leaves that open.
base::Result<evidence::Policy> read_evidence_policy(const std::filesystem::path& file) {
  evidence::Policy policy;
  if (!file.empty()) {
    TRY_ASSIGN(text, collateral::read_text(file.string(), evidence::kMaxPolicyBytes));
    auto decoded = evidence::decode_policy(text);
    if (!decoded) {
      return base::fail(std::move(decoded).error().context(file.string()));
    }
    policy = *std::move(decoded);
  }
  if (!policy.snp.measurements.is_set() && !policy.snp.id_key_digests.is_set()) {
    policy.snp.measurements = evidence::Expectation::any();
  }
  if (!policy.tdx.mr_td.is_set()) {
    policy.tdx.mr_td = evidence::Expectation::any();
  }
  return policy;
}

base::Result<std::unique_ptr<hsm::TokenKeys>> open_tokens(
    const config::KeybrokerdSettings& settings) {
  std::map<hsm::Uuid, std::string> tokens;
  for (const auto& line : settings.tokens) {
    const auto space = line.find(' ');
    const auto tenant = keybroker::protocol::parse_uuid(line.substr(0, space));
    if (!tenant || space == std::string::npos) {
      return base::fail(ErrorCode::kInvalidArgument,
                        "[hsm] tokens: '" + line + "' is not of the form TENANT-UUID pkcs11:...");
    }
    if (!tokens.emplace(*tenant, line.substr(space + 1)).second) {
      return base::fail(ErrorCode::kInvalidArgument,
                        "[hsm] tokens names tenant " + line.substr(0, space) + " twice");
    }
  }
  hsm::TokenOptions options;
  options.module = settings.pkcs11_module;
  // One tenant's token that hangs leaves a worker for all others; guests' have a cap of their own.
  options.most_callers = workers_of(settings) - 1;
  options.read_pin = [](const std::filesystem::path& file) {
    return vmgs::storage::read_private_file(file, vmgs::storage::OtherReaders::kNone,
                                            hsm::kMostPinBytes + 1);
  };
  return hsm::TokenKeys::create(tokens, std::move(options));
}

base::Result<std::optional<keybroker::crypto::Time>> recovery_of(
    const config::KeybrokerdSettings& settings) {
  if (settings.recovery_until.empty()) {
    return std::optional<keybroker::crypto::Time>();
  }
  auto until = keybroker::crypto::parse_time(settings.recovery_until);
  if (!until) {
    return base::fail(std::move(until).error().context("[recovery] until"));
  }
  return std::optional(*until);
}

constexpr std::size_t kMostEarlierRoots = 16;

base::Result<std::vector<keybroker::crypto::Fingerprint>> roots_of_receipts(
    const keybroker::crypto::Certificate& root, const std::filesystem::path& earlier) {
  std::vector<keybroker::crypto::Fingerprint> roots = {root.fingerprint()};
  if (!earlier.empty()) {
    TRY_ASSIGN(text, collateral::read_text(earlier.string(), keybroker::crypto::kMaxPemBytes));
    auto certificates = keybroker::crypto::decode_pem_certificates(text, kMostEarlierRoots);
    if (!certificates) {
      return base::fail(std::move(certificates).error().context("[broker] earlier_roots"));
    }
    for (const auto& each : *certificates) {
      roots.push_back(each.fingerprint());
    }
  }
  return roots;
}

constexpr std::size_t kMostIssuerBytes = 256;

base::Result<std::optional<broker::TokenRules>> token_rules(
    broker::TokenKeys keys, const config::KeybrokerdSettings& settings) {
  if (settings.guest_port == 0) {
    return std::optional<broker::TokenRules>();
  }
  auto issuer = settings.issuer;
  if (issuer.empty() && !settings.names.empty()) {
    issuer = "https://" + settings.names.front() + ":" + std::to_string(settings.guest_port);
  }
  if (!issuer.starts_with("https://") || issuer.ends_with('/') ||
      issuer.size() > kMostIssuerBytes) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "[guests] issuer is no https:// URL of at most 256 bytes without a slash at "
                      "its end");
  }
  return std::optional(broker::TokenRules{std::move(keys), std::move(issuer)});
}

}  // namespace

constexpr std::size_t kFewestWorkers = 2;

std::size_t workers_of(const config::KeybrokerdSettings& settings) {
  // Where nobody says, a small machine has some more: a worker waits for disks and tokens, too.
  constexpr std::size_t kUsual = 4;
  return settings.workers > 0 ? std::max(kFewestWorkers, static_cast<std::size_t>(settings.workers))
                              : std::max<std::size_t>(kUsual, std::thread::hardware_concurrency());
}

std::size_t guest_workers_of(const config::KeybrokerdSettings& settings) {
  return std::max(kFewestWorkers, workers_of(settings) / 2);
}

base::Result<std::unique_ptr<store::Sql>> open_records(const config::KeybrokerdSettings& settings) {
  if (settings.postgresql.empty()) {
    return store::open_sqlite(settings.state_folder / "records.db");
  }
  TRY_ASSIGN(has_password, store::has_password(settings.postgresql));
  if (has_password) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "[records] postgresql holds a password, which others could read: put it into "
                      "a passfile (libpq's passfile=), or log in by peer or certificate");
  }
  return store::open_postgres(settings.postgresql);
}

base::Result<std::unique_ptr<Office>> open_office(const config::KeybrokerdSettings& settings,
                                                  keybroker::crypto::Time now) {
  TRY_ASSIGN(sql, open_records(settings));
  TRY(store::migrate(*sql));
  TRY(sql->is_durable());
  TRY_ASSIGN(is_used, store::have_tenants(*sql));
  TRY_ASSIGN(folder, open_broker_folder(settings.state_folder / "broker", !is_used, now));

  auto kept = std::make_unique<KeptCollateral>(settings.collateral);
  broker::EvidenceRules rules;
  TRY_ASSIGN(policy, read_evidence_policy(settings.evidence_policy));
  rules.policy = std::move(policy);
  TRY(collateral::read_collateral(settings.collateral));
  rules.collateral = [kept = kept.get()](evidence::Evidence& shown) { return kept->get(shown); };
  if (!settings.simulated_roots.empty()) {
    TRY_ASSIGN(simulated, collateral::read_simulators({settings.simulated_roots.string()}));
    rules.simulated = std::move(simulated);
  }
  TRY_ASSIGN(signer, folder.answer_key.signer());
  TRY_ASSIGN(recovery, recovery_of(settings));
  TRY_ASSIGN(software, hsm::SoftwareKeys::create(std::move(folder.master_keys)));
  TRY_ASSIGN(tokens, open_tokens(settings));
  TRY_ASSIGN(beside, open_records(settings));
  auto certificates = store::CertificateDatabase::beside_broker(std::move(beside));
  TRY_ASSIGN(
      cas, daemon::open_cas(settings.state_folder / "authority", certificates,
                            rules.simulated.has_value(), keybroker::authority::CaKey::kP384, now));
  TRY_ASSIGN(tokens_of_guests, token_rules(std::move(folder.token_keys), settings));
  const auto root = folder.answer_key.chain.back();
  TRY_ASSIGN(receipt_roots, roots_of_receipts(root, settings.earlier_roots));
  keybroker::authority::AuthorityRules certificate_rules;
  certificate_rules.certificate_life = std::chrono::hours(24) * settings.certificate_days;
  return std::unique_ptr<Office>(
      new Office{.rules = {.secrets = std::move(folder.secrets),
                           .signer = std::move(signer),
                           .receipt_roots = std::move(receipt_roots),
                           .evidence = std::move(rules),
                           .policy_authorities = {settings.policy_authorities.begin(),
                                                  settings.policy_authorities.end()},
                           .recovery_until = recovery},
                 .seal = store::RecordSeal::under(std::move(folder.records_key)),
                 .limit = {},
                 .keys = hsm::TenantKeys(std::move(software), std::move(tokens)),
                 .collateral = std::move(kept),
                 .cas = std::move(cas),
                 .certificate_rules = certificate_rules,
                 .roots = {root},
                 .tokens = std::move(tokens_of_guests)});
}

base::Result<std::unique_ptr<Desk>> open_desk(Office& office,
                                              const config::KeybrokerdSettings& settings,
                                              hsm::KeyEncryptionKeys& keys) {
  TRY_ASSIGN(sql, open_records(settings));
  TRY_ASSIGN(records, store::BrokerRecords::over(std::move(sql), office.seal));
  TRY_ASSIGN(beside, open_records(settings));
  return std::make_unique<Desk>(office, std::move(records),
                                store::CertificateDatabase::beside_broker(std::move(beside)), keys);
}

}  // namespace tools::keybrokerd
