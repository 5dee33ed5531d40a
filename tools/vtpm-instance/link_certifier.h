// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>

#include "keybroker/protocol/instance.pb.h"
#include "vmgs/base/result.h"
#include "vtpm/provision/certifier.h"

namespace tools::vtpm_instance {

// LinkCertifier asks the authority of vtpmd over the instance's link. Whoever reads the link hands
// it the answers. One request is open at a time; certify() may be called on any thread.
class LinkCertifier final : public vtpm::provision::Certifier {
 public:
  using Clock = std::chrono::steady_clock;

  // How long certify() waits for each answer: an authority on the same host needs milliseconds.
  static constexpr std::chrono::seconds kPatience{8};

  // send() sends a message. read() waits until `deadline` for what comes next and hands it out; an
  // error ends the wait. It is called while nobody else reads the link, that is until
  // others_read().
  struct Link {
    std::function<base::Result<void>(const strongroom::instance::v1::FromInstance&)> send;
    std::function<base::Result<void>(Clock::time_point deadline)> read;
  };

  explicit LinkCertifier(Link link) : link_(std::move(link)) {}

  // take() has an answer, as it came. closed() says that there will be none any more.
  void take(strongroom::instance::v1::CertificationAnswer answer);
  void closed();

  // others_read() says that from now on another thread reads the link.
  void others_read();

  base::Result<vtpm::provision::Certificates> certify(
      const vtpm::provision::CertificationOfEvidence& request,
      const std::stop_token& stop) override;
  base::Result<vtpm::provision::Certificates> certify(
      const vtpm::provision::CertificationOfHost& request,
      const vtpm::provision::AnswerChallenge& answer, const std::stop_token& stop) override;

 private:
  base::Result<strongroom::instance::v1::CertificationAnswer> ask(
      strongroom::instance::v1::CertificationRequest& request, const std::stop_token& stop);
  base::Result<void> wait(std::unique_lock<std::mutex>& lock, const std::stop_token& stop);

  const Link link_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  std::uint64_t serial_ = 0;  // of the last request
  std::optional<strongroom::instance::v1::CertificationAnswer> answer_;
  bool others_read_ = false;
  bool closed_ = false;
};

}  // namespace tools::vtpm_instance
