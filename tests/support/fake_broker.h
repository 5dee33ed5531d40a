// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/client/channel.h"
#include "keybroker/client/release.h"
#include "keybroker/crypto/signed_message.h"
#include "keybroker/protocol/broker.pb.h"

namespace tests::support {

// FakeBroker is a broker for one VM in the test's own process: it believes every piece of evidence,
// and keeps keys, epoch, owner and anchor as a real one does. Its answers are really signed and
// sealed.
class FakeBroker final : public keybroker::client::Channel {
 public:
  explicit FakeBroker(const keybroker::protocol::Uuid& vm_id);

  base::Result<base::Bytes> call(keybroker::client::Method method, base::ByteView message,
                                 const std::stop_token& stop) override;

  // It says after each call how long to wait, and takes note of who does.
  [[nodiscard]] std::optional<std::chrono::seconds> retry_after() const override {
    return retries_after;
  }

  bool pause(std::chrono::milliseconds time, const std::stop_token&) override {
    pauses.push_back(time);
    return pause_ends;
  }

  void wait_at_most(std::chrono::seconds time) override { limit = time; }

  // root() is what a launch document pins.
  [[nodiscard]] const keybroker::protocol::Sha256Digest& root() const { return signer_->root(); }

  // answer() signs an answer to `request`, with whatever label.
  [[nodiscard]] base::Bytes answer(base::ByteView request,
                                   const strongroom::broker::v1::Answer& answer,
                                   std::string_view label = "strongroom.answer/1") const;

  // The record of the VM.
  std::uint64_t epoch = 0;
  base::Bytes owner;  // a boot id
  std::optional<keybroker::client::AnchorPoint> anchor;
  std::optional<keybroker::client::AnchorPoint> allowed_restore;
  std::uint64_t restores = 0;
  std::array<std::byte, 32> vm_key{};

  // No answer comes to a call for which this says so: before the broker has seen it, or after it
  // has carried it out.
  std::function<bool(keybroker::client::Method)> loses_request;
  std::function<bool(keybroker::client::Method)> loses_answer;

  std::optional<std::chrono::seconds> retries_after;
  bool pause_ends = true;  // no pause is ended early
  std::vector<std::chrono::milliseconds> pauses;
  std::optional<std::chrono::seconds> limit;  // of each call

  // What it does with an answer before it is signed, and with the bytes of one.
  std::function<void(strongroom::broker::v1::Answer&)> changes_answer;
  std::function<void(base::Bytes&)> spoils;

  // It says no to each release, and to each notice, while these are set.
  std::optional<std::string> refuses_release;
  std::optional<std::string> refuses_anchor;
  int begins_again = 0;  // so often a challenge is too old

  // Hears of the receipt with each release, before it is judged.
  std::function<void(const std::string& receipt)> is_shown;

  // Gives certificates, or says why not.
  std::function<void(const strongroom::instance::v1::ConfidentialCertification&,
                     strongroom::broker::v1::Anchored&)>
      certifies;

  // What was asked, newest last.
  std::vector<keybroker::client::Method> calls;
  std::vector<strongroom::broker::v1::AnchorBody> notices;
  std::optional<strongroom::broker::v1::ReleaseRequest> release;

 private:
  base::Bytes release_answer(base::ByteView message);
  base::Bytes anchor_answer(base::ByteView message);
  [[nodiscard]] std::string note(const strongroom::broker::v1::AnchorBody& body);
  [[nodiscard]] base::Bytes finish(base::ByteView request, strongroom::broker::v1::Answer answer);

  keybroker::protocol::Uuid vm_id_;
  std::optional<keybroker::crypto::MessageSigner> signer_;
  std::array<std::byte, 32> boot_key_{};
  std::map<std::string, base::Bytes> recorded_;  // answers to notices, by request id
};

}  // namespace tests::support
