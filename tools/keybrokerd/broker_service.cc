// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>

#include "keybroker/store/sqlite.h"
#include "tools/keybrokerd/admin.h"

namespace tools::keybrokerd {

namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using base::ErrorCode;
using transport::rpc::CallContext;
using transport::rpc::Sink;
using transport::tls::Role;

constexpr const char* kService = "BrokerService";
constexpr std::size_t kChunkBytes = 256 * 1024;

base::Result<api::GetStatusResponse> status(Desk& desk, const api::GetStatusRequest&,
                                            const Caller&) {
  api::GetStatusResponse response;
  response.set_version(STRONGROOM_VERSION);
  auto& sql = desk.records.sql();
  response.set_database(sql.is_sqlite() ? "sqlite" : "postgresql");
  const auto now = now_in_seconds();
  const auto& until = desk.office.rules.recovery_until;
  if (until && now <= *until) {
    response.set_recovery(true);
    *response.mutable_recovery_until() = timestamp_of(*until);
  }
  if (const auto durable = sql.is_durable(); !durable) {
    response.add_problems(durable.error().message);
  }
  for (const auto& root : desk.office.roots) {
    response.add_root_pems(root.pem());
  }
  for (const auto& [ak_class, ca] : desk.office.cas) {
    // This broker certifies no VM on the word of its host.
    if (ak_class != keybroker::evidence::AkClass::kHost) {
      auto& authority = *response.add_ak_authorities();
      authority.set_class_(std::string(name(ak_class)));
      authority.set_root_pem(ca.root.pem());
      authority.set_issuer_pem(ca.certificate.pem());
    }
  }
  *response.mutable_time() = timestamp_of(now);
  return response;
}

// A list of each class, as it was a moment ago. Every list is signed and has a number on record,
// and who asks for one over and over gets the same.
class RecentLists {
 public:
  base::Result<api::GetAkCrlResponse> get(Desk& desk, keybroker::evidence::AkClass ak_class) {
    const auto now = now_in_seconds();
    const std::lock_guard lock(mutex_);
    auto& recent = lists_[ak_class];
    if (recent.response.crl().empty() || now < recent.made || now >= recent.made + kLife) {
      TRY_ASSIGN(crl, desk.authority.crl(ak_class, now));
      recent.response.set_crl(crl.der().data(), crl.der().size());
      recent.made = now;
    }
    return recent.response;
  }

 private:
  static constexpr std::chrono::seconds kLife{5};

  struct Recent {
    api::GetAkCrlResponse response;
    keybroker::crypto::Time made{};
  };

  std::mutex mutex_;
  std::map<keybroker::evidence::AkClass, Recent> lists_;
};

base::Result<api::GetAkCrlResponse> ak_crl(Desk& desk, const api::GetAkCrlRequest& request,
                                           RecentLists& lists) {
  for (const auto& [ak_class, ca] : desk.office.cas) {
    if (name(ak_class) == request.class_()) {
      return lists.get(desk, ak_class);
    }
  }
  return base::fail(ErrorCode::kNotFound,
                    "this broker has no CA of class '" + request.class_() + "'");
}

// A copy of the records under a name of its own, gone when this is.
class Copy {
 public:
  explicit Copy(fs::path folder) : folder_(std::move(folder)) {}

  Copy(Copy&& other) noexcept : folder_(std::exchange(other.folder_, {})) {}

  Copy& operator=(Copy&&) = delete;

  ~Copy() {
    if (!folder_.empty()) {
      std::error_code ignored;
      fs::remove_all(folder_, ignored);
    }
  }

  [[nodiscard]] fs::path file() const { return folder_ / "records.db"; }

 private:
  fs::path folder_;
};

base::Result<Copy> copy_records(Desk& desk, const fs::path& state_folder) {
  std::string name = state_folder / "backup.XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    return base::fail(ErrorCode::kIo, "cannot make a folder in " + state_folder.string());
  }
  Copy copy(name);
  TRY(keybroker::store::back_up_sqlite(desk.records.sql(), copy.file()));
  return copy;
}

asio::awaitable<base::Result<void>> send_backup(Services& services, fs::path state_folder,
                                                Sink<api::BackupChunk> sink) {
  auto work = [&services, state_folder = std::move(state_folder)] {
    return services.desks().with([&](Desk& desk) { return copy_records(desk, state_folder); });
  };
  const auto copy = co_await transport::rpc::run_on(services.pool(), std::move(work));
  if (!copy) {
    co_return base::fail(base::Error(copy.error()));
  }
  std::ifstream in(copy->file(), std::ios::binary);
  std::string chunk(kChunkBytes, '\0');
  while (in.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) || in.gcount() > 0) {
    api::BackupChunk message;
    message.set_data(chunk.data(), static_cast<std::size_t>(in.gcount()));
    auto sent = co_await sink.send(message);
    if (!sent) {
      co_return base::fail(std::move(sent).error());
    }
  }
  if (in.bad()) {
    co_return base::fail(ErrorCode::kIo, "cannot read the copy of the records");
  }
  co_return base::Result<void>();
}

}  // namespace

void add_broker_service(Services& services, const config::KeybrokerdSettings& settings) {
  const transport::rpc::Roles people = {Role::kOperator, Role::kTenant, Role::kAuditor};
  services.add<api::GetStatusRequest, api::GetStatusResponse>(kService, "GetStatus", people,
                                                              status);
  services.add<api::GetAkCrlRequest, api::GetAkCrlResponse>(
      kService, "GetAkCrl", people,
      [lists = std::make_shared<RecentLists>()](Desk& desk, const api::GetAkCrlRequest& request,
                                                const Caller&) {
        return ak_crl(desk, request, *lists);
      });
  const auto& descriptor = Services::service_of(kService);
  services.roles().allow(descriptor, "Backup", {Role::kOperator});
  services.methods().stream<api::BackupRequest, api::BackupChunk>(
      descriptor, "Backup",
      [&services, folder = settings.state_folder](
          const api::BackupRequest&, const CallContext&,
          Sink<api::BackupChunk> sink) -> asio::awaitable<base::Result<void>> {
        return send_backup(services, folder, std::move(sink));
      });
}

}  // namespace tools::keybrokerd
