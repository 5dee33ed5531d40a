// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <variant>

#include "keybroker/client/answer.h"
#include "keybroker/client/channel.h"
#include "keybroker/client/release.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::client {

// What is told, with the numbers of broker.proto.
enum class AnchorKind : std::uint8_t {
  kBoot = 1,      // after the first commit of this boot, before the guest
  kClosed = 2,    // after the orderly close
  kRenewal = 3,   // nothing of the state: certificates are wanted
  kCondemned = 4  // that the state which an offline boot had opened was not the newest
};

// Notice is what an instance tells the broker.
struct Notice {
  AnchorKind kind = AnchorKind::kBoot;
  std::uint64_t sequence = 0;  // not of a renewal
  std::array<std::byte, 32> digest{};
  bool used_restore = false;
  std::optional<strongroom::instance::v1::ConfidentialCertification> certification = std::nullopt;
};

// Anchored is what the broker has noted, signed.
struct Anchored {
  base::Bytes receipt;  // as it came; only of kBoot and kClosed
  std::uint64_t restores = 0;
  bool wants_certification = false;
  std::optional<strongroom::instance::v1::Certificates> certificates;
  std::optional<strongroom::instance::v1::Refusal> certification_refusal;
};

// AnchorRequest is one notice in its bytes, which may be sent again for as long as nobody knows
// what became of them: the broker carries out a request once and answers each time.
class AnchorRequest {
 public:
  // make() draws the request's id and authenticates it by the key of the boot that owns `epoch`.
  static base::Result<AnchorRequest> make(const Boot& boot, std::uint64_t epoch,
                                          const BootKey& boot_key, Notice notice);

  // send() gives what the broker has answered. kUnavailable if no answer came, or one that is not
  // believed: then the broker may have noted it or not.
  base::Result<std::variant<Anchored, Refusal>> send(Channel& channel,
                                                     const std::stop_token& stop) const;

  // open() judges an answer. The receipt in it has to be for this very point.
  [[nodiscard]] base::Result<std::variant<Anchored, Refusal>> open(base::ByteView answer) const;

  [[nodiscard]] base::ByteView bytes() const { return bytes_; }

  [[nodiscard]] const Notice& notice() const { return notice_; }

 private:
  AnchorRequest(Belief belief, std::uint64_t epoch, Notice notice, base::Bytes bytes)
      : belief_(std::move(belief)),
        epoch_(epoch),
        notice_(std::move(notice)),
        bytes_(std::move(bytes)) {}

  Belief belief_;
  std::uint64_t epoch_;
  Notice notice_;
  base::Bytes bytes_;
};

}  // namespace keybroker::client
