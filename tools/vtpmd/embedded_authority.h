// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "keybroker/authority/instance_requests.h"
#include "keybroker/authority/request_budget.h"
#include "tools/config/vtpmd_settings.h"
#include "tools/daemon/authority_folder.h"
#include "transport/rpc/run_on.h"

namespace tools::vtpmd {

// now_in_seconds() is this host's clock, which certificates and revocation lists go by.
keybroker::crypto::Time now_in_seconds();

// EmbeddedAuthority is the AK certificate authority of a single host inside vtpmd. It works on a
// thread of its own, since to judge evidence and to make records durable takes too long for the
// thread that serves VMs; what is asked is done in the order in which it was asked. Its functions
// are for vtpmd's thread, and answers come there.
class EmbeddedAuthority {
 public:
  using Request = strongroom::instance::v1::CertificationRequest;
  using Answer = strongroom::instance::v1::CertificationAnswer;

  // What lives on the other thread, for what is given to run(). Its parts refer to each other.
  struct Desk {
    Desk(daemon::AuthorityFolder opened, keybroker::authority::AuthorityRules terms,
         keybroker::authority::ConfidentialRules rules)
        : records(std::move(opened.records)),
          cas(std::move(opened.cas)),
          authority(cas, records, terms),
          requests(authority, records, std::move(rules)) {}

    Desk(const Desk&) = delete;
    Desk& operator=(const Desk&) = delete;

    keybroker::store::CertificateDatabase records;
    std::map<keybroker::evidence::AkClass, keybroker::authority::IssuingCa> cas;
    keybroker::authority::Authority authority;
    keybroker::authority::InstanceRequests requests;
  };

  // start() reads what the settings name, and opens or makes the CAs in `folder`. An error names
  // the file.
  static base::Result<std::unique_ptr<EmbeddedAuthority>> start(
      boost::asio::io_context& io, const std::filesystem::path& folder,
      const config::VtpmdSettings& settings);

  // What was asked until now is still done. No answer comes any more.
  ~EmbeddedAuthority();

  // ask() has an instance's request answered. A VM that asks too often is refused at once.
  void ask(const keybroker::authority::RegisteredVm& vm, Request request,
           std::function<void(const Answer&)> reply);

  // has_certified() tells whether a VM has good certificates on record, for its AK and its RSA EK.
  // It reads beside the other thread and waits for nothing.
  [[nodiscard]] bool has_certified(const keybroker::protocol::Uuid& vm_id);

  // forget_all_but() ends every VM that is not one of these: those whose removal was cut short.
  void forget_all_but(std::set<keybroker::protocol::Uuid> vms);

  // run() has `work` done on the other thread and gives what came of it. A caller that is cancelled
  // waits for it nevertheless. Name what it returns, then await that: GCC 12 destroys a lambda that
  // is made inside the awaiting expression twice.
  template <typename T>
  boost::asio::awaitable<base::Result<T>> run(std::function<base::Result<T>(Desk&)> work) {
    auto at_desk = [this, work = std::move(work)] { return work(*desk_); };
    auto result = co_await transport::rpc::run_on(pool_, std::move(at_desk));
    co_return result;
  }

  // keep_house() drops records that nobody can need any more.
  void keep_house();

 private:
  EmbeddedAuthority(boost::asio::io_context& io, keybroker::store::CertificateDatabase view,
                    std::unique_ptr<Desk> desk)
      : io_(io), view_(std::move(view)), desk_(std::move(desk)) {}

  boost::asio::io_context& io_;
  keybroker::store::CertificateDatabase view_;
  std::unique_ptr<Desk> desk_;
  keybroker::authority::RequestBudget budget_;
  boost::asio::thread_pool pool_{1};
};

}  // namespace tools::vtpmd
